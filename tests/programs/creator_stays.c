/* A creator that was moved elsewhere: its children go where they belong, and it stays. FROM_CPU
   names where it is moved, past all libraries. */
#include "common.h"
#include <sys/syscall.h>
#include <unistd.h>

static void *thread(void *arg)
{
    here("thread");
    return arg;
}

int main(void)
{
    unsigned long mask = 1ul << atoi(getenv("FROM_CPU"));
    if (syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) != 0)
        return 99;
    for (int i = 0; i < 200; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, thread, NULL));
        MUST(pthread_join(id, NULL));
        unsigned long now = 0;
        syscall(SYS_sched_getaffinity, 0, sizeof now, &now);
        if (now != mask)
            printf("the creator was moved to %lx\n", now);
    }
    puts("done");
    return 0;
}
