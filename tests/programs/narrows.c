/* A thread that narrows its own affinity within its set, as a library does that wants a CPU of its own, and then creates
   a thread. FROM_CPU names the one CPU. Says where the two may run. */
#include "common.h"

static void *thread(void *arg)
{
    cpu_set_t set;
    MUST(pthread_getaffinity_np(pthread_self(), sizeof set, &set));
    printf("the new thread: %d CPUs\n", CPU_COUNT(&set));
    return arg;
}

int main(void)
{
    cpu_set_t one, now;
    CPU_ZERO(&one);
    CPU_SET(atoi(getenv("FROM_CPU")), &one);
    MUST(sched_setaffinity(0, sizeof one, &one));
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    MUST(sched_getaffinity(0, sizeof now, &now));
    printf("the creator: %s\n", CPU_EQUAL(&one, &now) ? "where it wants to be" : "elsewhere");
    return 0;
}
