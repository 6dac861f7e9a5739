/* What goes into a thread and what comes out of it: argument, result, errno, signal mask. */
#include "common.h"
#include <errno.h>
#include <signal.h>

static void *thread(void *arg)
{
    here("thread");
    sigset_t set;
    MUST(pthread_sigmask(SIG_BLOCK, NULL, &set));
    printf("errno %d, USR1 %d, USR2 %d\n", errno, sigismember(&set, SIGUSR1), sigismember(&set, SIGUSR2));
    return (char *)arg + 1;
}

int main(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(pthread_sigmask(SIG_BLOCK, &set, NULL));
    here("main");
    for (size_t i = 0; i < 100; i++) {
        pthread_t id;
        void *back = NULL;
        errno = 4321;
        int result = pthread_create(&id, NULL, thread, (void *)(0x7fffffff00000000 + i));
        int error = errno;
        MUST(pthread_join(id, &back));
        printf("%d, errno %d, %p\n", result, error, back);
    }
    return 7;
}
