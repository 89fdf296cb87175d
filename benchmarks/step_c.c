/* Nanoseconds per step of a network exported as net.c: the best of many short runs. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>

#include "net.h"

enum { STEPS = 64, RUNS = 3000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(void)
{
    static NUMBER x[STEPS][NET_INPUTS];
    NUMBER y[NET_OUTPUTS];
    net_state state;
    double best = 1e30;
    int run, t, k;
    for (t = 0; t < STEPS; t++)
        for (k = 0; k < NET_INPUTS; k++) x[t][k] = (NUMBER)((t * 7 + k * 3) % 11) / 5 - 1;
    net_reset(&state);
    for (run = 0; run < RUNS; run++) {
        double start = now();
        for (t = 0; t < STEPS; t++)
            if (net_step(&state, x[t], y) != NET_OK) return 1;
        start = now() - start;
        best = start < best ? start : best;
    }
    printf("%.1f\n", best / STEPS);
    return 0;
}
