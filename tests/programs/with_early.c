/* A program with early.c's library, preloaded or linked. */
#include "common.h"

extern int early_was_off __attribute__((weak));

static void *thread(void *arg)
{
    here("thread");
    return arg;
}

int main(void)
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    printf("early thread off its set: %d\n", &early_was_off ? early_was_off : 3);
    return 0;
}
