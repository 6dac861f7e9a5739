/* A program may have all of the process's keys of thread-specific data, PTHREAD_KEYS_MAX of them, from its first
   instruction on and while it has threads. */
#include "common.h"
#include <limits.h>
#include <threads.h>

static pthread_key_t keys[PTHREAD_KEYS_MAX + 1];
static tss_t tss[PTHREAD_KEYS_MAX + 1];
static int made;

static void make(const char *where)
{
    for (made = 0; made <= PTHREAD_KEYS_MAX && pthread_key_create(&keys[made], NULL) == 0; made++)
        ;
    printf("%s: %d keys of %d\n", where, made, PTHREAD_KEYS_MAX);
    for (int i = 0; i < made; i++)
        MUST(pthread_key_delete(keys[i]));
    for (made = 0; made <= PTHREAD_KEYS_MAX && tss_create(&tss[made], NULL) == thrd_success; made++)
        ;
    printf("%s: %d of C11\n", where, made);
    for (int i = 0; i < made; i++)
        tss_delete(tss[i]);
}

static void *thread(void *arg)
{
    here("thread");
    make("thread");
    return arg;
}

int main(void)
{
    make("main");
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    make("end");
    return 0;
}
