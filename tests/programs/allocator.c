/* An allocator that creates a thread of its own when it is used for the AT-th time, as some do for
   their housekeeping. */
#include "common.h"

#ifndef AT
#define AT 1
#endif

void *__libc_malloc(size_t bytes);

static int uses, busy;
int allocators_threads;

static void *housekeeping(void *arg)
{
    allocators_threads++;
    return arg;
}

void *malloc(size_t bytes)
{
    if (!busy && ++uses == AT) {
        pthread_t id;
        busy = 1;
        MUST(pthread_create(&id, NULL, housekeeping, NULL));
        MUST(pthread_join(id, NULL));
        busy = 0;
    }
    return __libc_malloc(bytes);
}
