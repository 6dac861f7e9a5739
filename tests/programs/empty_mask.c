/* A thread that asks for no CPU at all: the kernel refuses that, and leaves it where it is. */
#include "common.h"
#include <errno.h>

static void *thread(void *arg)
{
    cpu_set_t none, before, now;
    CPU_ZERO(&none);
    MUST(sched_getaffinity(0, sizeof before, &before));
    errno = 4321;
    int result = pthread_setaffinity_np(pthread_self(), sizeof none, &none);
    printf("pthread: %d, errno %d\n", result, errno);
    errno = 4321;
    result = sched_setaffinity(0, sizeof none, &none);
    printf("sched: %d, errno %d\n", result, errno);
    MUST(sched_getaffinity(0, sizeof now, &now));
    printf("stays: %d\n", CPU_EQUAL(&before, &now) != 0);
    return arg;
}

int main(void)
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    return 0;
}
