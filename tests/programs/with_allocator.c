/* A program with allocator.c's library, preloaded. */
#include "common.h"

extern int allocators_threads __attribute__((weak));

static void *thread(void *arg)
{
    here("thread");
    return arg;
}

int main(void)
{
    pthread_t id;
    for (int i = 0; i < 10; i++) {
        void *volatile used = malloc(100);
        free(used);
    }
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    printf("the allocator's threads: %d\n", &allocators_threads ? allocators_threads : -1);
    return 0;
}
