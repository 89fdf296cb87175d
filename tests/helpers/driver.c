/* A stand-in for NVIDIA's driver, for tests on machines without a GPU: memory is the host's, and
   kernels do nothing. It knows what numba-cuda and cuda.core ask of a driver for the work of one
   stream, and refuses what a driver refuses while that stream is captured. What it counted goes to
   standard error at the end, as one line of JSON. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Status;
typedef uintptr_t Handle;

enum { OK = 0, NOT_FOUND = 500, UNSUPPORTED = 801, IN_CAPTURE = 900, OTHER_STREAM = 906 };

static const Handle CONTEXT = 0xC0, POOL = 0xA0, GRAPH = 0xB0, EXECUTABLE = 0xE0, OBJECT = 0xD0;
static Handle captured; /* the stream that is captured, or 0 */
static long launches, in_graphs, graphs, graph_launches, copies, refused;

static Handle new_handle(void) {
    static Handle last = 0x10000;
    return last += 16;
}

static Status outside_of_capture(const char *what) {
    if (!captured) return OK;
    fprintf(stderr, "%s while a stream is captured\n", what);
    refused++;
    return IN_CAPTURE;
}

/* --- the device and its context -------------------------------------------------------------- */

Status cuInit(unsigned flags) { return OK; }
Status cuDriverGetVersion(int *version) { return *version = 12090, OK; }
Status cuDeviceGetCount(int *count) { return *count = 1, OK; }
Status cuDeviceGet(int *device, int ordinal) { return *device = ordinal, OK; }
Status cuDeviceGetName(char *name, int size, int device) {
    return strncpy(name, "a stand-in", size), OK;
}
Status cuDeviceGetUuid_v2(char *uuid, int device) { return memset(uuid, 7, 16), OK; }
Status cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)1 << 36, OK; }

Status cuDeviceGetAttribute(int *value, int attribute, int device) {
    static const struct { int attribute, value; } known[] = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535},
        {8, 49152}, {10, 32}, {12, 65536}, {16, 132}, {39, 2048}, {41, 1},
        {75, 9}, {76, 0},    /* compute capability */
        {81, 233472}, {82, 65536}, {95, 1},
        {97, 232448}, /* shared memory of a block, where it is asked for */
        {115, 1},     /* pools of memory */
    };
    *value = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].attribute == attribute) *value = known[i].value;
    return OK;
}

static __thread Handle stack[64];
static __thread int depth;

Status cuDevicePrimaryCtxRetain(Handle *context, int device) { return *context = CONTEXT, OK; }
Status cuDevicePrimaryCtxRelease_v2(int device) { return OK; }
Status cuCtxPushCurrent_v2(Handle context) { return stack[depth++] = context, OK; }
Status cuCtxPopCurrent_v2(Handle *context) {
    Handle last = depth ? stack[--depth] : 0;
    return context ? (*context = last, OK) : OK;
}
Status cuCtxGetCurrent(Handle *context) { return *context = depth ? stack[depth - 1] : 0, OK; }
Status cuCtxSetCurrent(Handle context) {
    depth = depth ? depth : 1;
    return stack[depth - 1] = context, OK;
}
Status cuCtxGetDevice(int *device) { return *device = 0, depth ? OK : 201; }
Status cuCtxSynchronize(void) { return outside_of_capture("cuCtxSynchronize"); }

Status cuGetErrorName(int status, const char **name) {
    static char text[32];
    snprintf(text, sizeof text, "STATUS_%d", status);
    return *name = text, OK;
}
Status cuGetErrorString(int status, const char **text) { return cuGetErrorName(status, text); }

/* --- memory ------------------------------------------------------------------------------------ */

static Status allocate(Handle *pointer, size_t size, const char *what) {
    *pointer = captured ? 0 : (Handle)calloc(1, size);
    return outside_of_capture(what);
}
static Status release(Handle pointer, const char *what) {
    if (!captured) free((void *)pointer);
    return outside_of_capture(what);
}
static Status copy(void *to, const void *from, size_t size, const char *what) {
    copies++;
    if (!captured) memcpy(to, from, size);
    return outside_of_capture(what); /* memory that is not pinned cannot be in a graph */
}

Status cuMemAlloc_v2(Handle *pointer, size_t size) {
    return allocate(pointer, size, "cuMemAlloc");
}
Status cuMemAllocFromPoolAsync(Handle *pointer, size_t size, Handle pool, Handle stream) {
    return allocate(pointer, size, "cuMemAllocFromPoolAsync");
}
Status cuMemFree_v2(Handle pointer) { return release(pointer, "cuMemFree"); }
Status cuMemFreeAsync(Handle pointer, Handle stream) { return release(pointer, "cuMemFreeAsync"); }
Status cuMemGetInfo_v2(size_t *free, size_t *total) {
    return *free = *total = (size_t)1 << 36, OK;
}
Status cuMemcpyHtoD_v2(Handle to, const void *from, size_t size) {
    return copy((void *)to, from, size, "cuMemcpyHtoD");
}
Status cuMemcpyHtoDAsync_v2(Handle to, const void *from, size_t size, Handle stream) {
    return copy((void *)to, from, size, "cuMemcpyHtoDAsync");
}
Status cuMemcpyDtoH_v2(void *to, Handle from, size_t size) {
    return copy(to, (void *)from, size, "cuMemcpyDtoH");
}
Status cuMemcpyDtoHAsync_v2(void *to, Handle from, size_t size, Handle stream) {
    return copy(to, (void *)from, size, "cuMemcpyDtoHAsync");
}
Status cuDeviceGetMemPool(Handle *pool, int device) { return *pool = POOL, OK; }
Status cuDeviceGetDefaultMemPool(Handle *pool, int device) { return *pool = POOL, OK; }
Status cuMemPoolGetAttribute(Handle pool, int attribute, uint64_t *value) {
    return *value = 0, OK;
}
Status cuMemPoolSetAttribute(Handle pool, int attribute, void *value) { return OK; }

Status cuPointerGetAttribute(void *value, int attribute, Handle pointer) {
    switch (attribute) {
    case 1: *(Handle *)value = CONTEXT; break;
    case 2: *(unsigned *)value = 2; break; /* memory of a device */
    case 3: case 4: *(Handle *)value = pointer; break;
    default: *(int *)value = 0; /* of the first one; not managed */
    }
    return OK;
}
Status cuPointerGetAttributes(unsigned count, int *attributes, void **values, Handle pointer) {
    for (unsigned i = 0; i < count; i++) cuPointerGetAttribute(values[i], attributes[i], pointer);
    return OK;
}

/* --- streams and graphs ------------------------------------------------------------------------ */

Status cuStreamCreate(Handle *stream, unsigned flags) { return *stream = new_handle(), OK; }
Status cuStreamDestroy_v2(Handle stream) { return OK; }
Status cuStreamSynchronize(Handle stream) { return outside_of_capture("cuStreamSynchronize"); }
Status cuStreamGetCtx(Handle stream, Handle *context) { return *context = CONTEXT, OK; }
Status cuStreamIsCapturing(Handle stream, int *status) {
    return *status = captured && stream == captured, OK;
}
Status cuStreamGetCaptureInfo_v2(Handle stream, int *status, uint64_t *id, Handle *graph,
                                 const void **dependencies, size_t *count) {
    *status = captured && stream == captured;
    if (id) *id = 1;
    if (graph) *graph = GRAPH;
    if (dependencies) *dependencies = NULL;
    if (count) *count = 0;
    return OK;
}
Status cuStreamBeginCapture_v2(Handle stream, int mode) {
    if (!stream || captured) return IN_CAPTURE;
    return captured = stream, OK;
}
Status cuStreamEndCapture(Handle stream, Handle *graph) {
    captured = 0;
    return *graph = GRAPH, OK;
}
Status cuGraphInstantiateWithParams(Handle *executable, Handle graph, uint64_t *params) {
    graphs++;
    params[3] = 0; /* it went well */
    return *executable = EXECUTABLE, OK;
}
Status cuGraphLaunch(Handle executable, Handle stream) { return graph_launches++, OK; }
Status cuGraphDestroy(Handle graph) { return OK; }
Status cuGraphExecDestroy(Handle executable) { return OK; }
Status cuUserObjectCreate(Handle *object, void *pointer, void *destroy, unsigned count,
                          unsigned flags) {
    return *object = OBJECT, OK;
}
Status cuUserObjectRelease(Handle object, unsigned count) { return OK; }
Status cuGraphRetainUserObject(Handle graph, Handle object, unsigned count, unsigned flags) {
    return OK;
}
Status cuGraphReleaseUserObject(Handle graph, Handle object, unsigned count) { return OK; }

/* --- kernels ----------------------------------------------------------------------------------- */

Status cuLibraryLoadData(Handle *library, const void *code, void *a, void *b, unsigned c, void *d,
                         void *e, unsigned f) {
    return *library = new_handle(), outside_of_capture("cuLibraryLoadData");
}
Status cuLibraryUnload(Handle library) { return OK; }
Status cuLibraryGetKernel(Handle *kernel, Handle library, const char *name) {
    return *kernel = new_handle(), OK;
}
Status cuKernelGetFunction(Handle *function, Handle kernel) { return *function = kernel, OK; }
Status cuKernelGetAttribute(int *value, int attribute, Handle kernel, int device) {
    return *value = attribute == 0 ? 1024 : 0, OK; /* threads of a block, at most */
}
Status cuKernelSetAttribute(int attribute, int value, Handle kernel, int device) { return OK; }

Status cuLaunchKernelEx(const char *config, Handle kernel, void **arguments, void **extra) {
    Handle stream = *(const Handle *)(config + 32); /* after seven sizes and a gap */
    launches++;
    if (!captured) return OK;
    in_graphs++;
    if (stream == captured) return OK;
    fprintf(stderr, "a launch on another stream than the one that is captured\n");
    return refused++, OTHER_STREAM;
}

/* --- how all of these are found ---------------------------------------------------------------- */

Status cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags,
                           int *status) {
    static const char *endings[] = {"_v2", ""};
    char name[128];
    Dl_info here;
    dladdr((void *)cuInit, &here);
    void *library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s%s", symbol, endings[i]);
        *function = dlsym(library, name);
        if (*function) return status ? (*status = 0, OK) : OK;
    }
    return status ? (*status = 1, NOT_FOUND) : NOT_FOUND;
}
Status cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

__attribute__((destructor)) static void report(void) {
    fprintf(stderr,
            "{\"launches\": %ld, \"in_graphs\": %ld, \"graphs\": %ld, \"graph_launches\": %ld, "
            "\"copies\": %ld, \"refused\": %ld}\n",
            launches, in_graphs, graphs, graph_launches, copies, refused);
}
