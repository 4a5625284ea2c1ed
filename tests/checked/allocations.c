/* The engine's allocator in the checked build: counts what it has, and fails when told to.

   The linker's --wrap puts these functions between the extension and the C library; nothing else of the process comes
   here. Tests reach the two functions at the end through the extension's own file. One thread at a time, as a shard. */

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);

static long live;        /* blocks that the extension holds */
static long countdown;   /* the allocation that fails, counted from 1; 0: none */

static int fails(void) {
    return countdown > 0 && --countdown == 0;
}

static void *counted(void *block) {
    live += block != NULL;
    return block;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size) {
    if (fails())
        return NULL;
    return old == NULL ? counted(__real_realloc(old, size)) : __real_realloc(old, size);
}

void __wrap_free(void *block) {
    live -= block != NULL;
    __real_free(block);
}

long engine_blocks_live(void) {
    return live;
}

/* The n-th allocation from now on fails, and only that; 0: none. Returns how many were still to come until the last one. */
long engine_fail_allocation(long n) {
    long left = countdown;
    countdown = n;
    return left;
}
