/* Threads that set their own affinity, as Mesa's do. ALL and OTHER are masks: all the CPUs, and only
   ones that are not in the threads' set. */
#include "common.h"
#include <errno.h>
#include <unistd.h>

static cpu_set_t set_of(const char *variable)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    unsigned long mask = strtoul(getenv(variable), NULL, 0);
    for (int cpu = 0; cpu < 64; cpu++)
        if (mask >> cpu & 1)
            CPU_SET(cpu, &set);
    return set;
}

static void show(const char *what, int result)
{
    cpu_set_t now;
    int error = errno;
    if (sched_getaffinity(0, sizeof now, &now) != 0)
        exit(99);
    printf("%s: %d, errno %d, %lx\n", what, result, error, now.__bits[0]);
}

static void *thread(void *arg)
{
    cpu_set_t all = set_of("ALL"), other = set_of("OTHER");
    errno = 4321;
    show("pthread, all", pthread_setaffinity_np(pthread_self(), sizeof all, &all));
    show("pthread, other", pthread_setaffinity_np(pthread_self(), sizeof other, &other));
    show("sched, all", sched_setaffinity(0, sizeof all, &all));
    show("sched, other", sched_setaffinity(0, sizeof other, &other));
    show("sched, by tid", sched_setaffinity(gettid(), sizeof all, &all));
    return arg;
}

int main(void)
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    return 0;
}
