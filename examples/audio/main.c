/* A learned distortion, one sample at a time, as an audio callback would run it. */
#include <math.h>
#include <stdio.h>

#include "circuit.h"

enum { BLOCK = 64, BLOCKS = 500 };

/* Replaces a block of samples by what the network makes of them; silence where it refuses. */
static void process(circuit_state *state, float *samples, int count)
{
    int n;
    for (n = 0; n < count; n++)
        if (circuit_step(state, samples + n, samples + n) != CIRCUIT_OK) samples[n] = 0;
}

int main(void)
{
    circuit_state state;
    double v = 0, error = 0, size = 0;
    int block, n;
    circuit_reset(&state);
    for (block = 0; block < BLOCKS; block++) {
        float samples[BLOCK];
        double expected[BLOCK];
        for (n = 0; n < BLOCK; n++) { /* a chord that swells and fades */
            const double t = block * BLOCK + n, u = sin(2e-4 * t) * sin(0.031 * t) * sin(0.11 * t);
            samples[n] = (float)u;
            v += 0.3 * (3 * u - v - v * v * v); /* the circuit itself, to compare with */
            expected[n] = v;
        }
        process(&state, samples, BLOCK);
        for (n = 0; n < BLOCK; n++) {
            error += ((double)samples[n] - expected[n]) * ((double)samples[n] - expected[n]);
            size += expected[n] * expected[n];
        }
    }
    printf("relative error of the sound: %.4f\n", sqrt(error / size));
    return 0;
}
