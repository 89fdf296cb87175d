/* Steps of a network exported as net.c: inputs from stdin, outputs to stdout, both binary.
   Fails where the host's floating-point settings have changed, or a bad call is not refused. */
#include <fenv.h>
#include <stdio.h>
#include <string.h>

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include "net.h"

/* Rounding mode and, where there are such, the flags for subnormal numbers and exceptions' masks. */
static unsigned settings(void)
{
    unsigned bits = (unsigned)fegetround();
#ifdef __SSE2__
    bits ^= (_mm_getcsr() & ~0x3fu) << 8; /* without the exceptions raised so far */
#endif
    return bits;
}

static int bad_calls_are_refused(const net_state *good)
{
    net_state state = *good;
    NUMBER x[NET_INPUTS], y[NET_OUTPUTS];
    memset(x, 0, sizeof x);
    memset(y, 0, sizeof y);
    if (net_reset(NULL) != NET_NULL || net_step(NULL, x, y) != NET_NULL) return 0;
    if (net_step(&state, NULL, y) != NET_NULL || net_step(&state, x, NULL) != NET_NULL) return 0;
    if (net_step(&state, x, &state.c[0][0]) != NET_OVERLAP) return 0;
    memset(x, 0xff, sizeof x); /* a NaN */
    if (net_step(&state, x, y) != NET_INPUT_NOT_FINITE) return 0;
    return memcmp(&state, good, sizeof state) == 0;
}

int main(void)
{
    net_state state;
    NUMBER x[NET_INPUTS], y[NET_OUTPUTS];
    const unsigned before = settings();
    if (net_reset(&state) != NET_OK) return 1;
    while (fread(x, sizeof x, 1, stdin) == 1) {
        if (net_step(&state, x, y) != NET_OK) return 2;
        if (fwrite(y, sizeof y, 1, stdout) != 1) return 3;
    }
    if (settings() != before) return 4;
    return bad_calls_are_refused(&state) ? 0 : 5;
}
