/* A process that goes on in a forked child, without executing another program. The child says its pid and waits to be
   killed.

   usage: goes_on daemon|setsid|threads|child [threads|closes]
   daemon   by daemon(3); its parent ends
   setsid   by fork, setsid and fork, as many daemons do; its parents end
   threads  by fork alone; it creates threads, and its parent waits for it, as virtiofsd's does
   child    by fork alone; it does nothing, and its parent waits for it
   threads, closes: a daemon that creates a thread; a child that closes all descriptors first, as a careful daemon does */
#include "common.h"
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void *thread(void *arg)
{
    here("thread");
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return arg;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "", *more = argc > 2 ? argv[2] : "";
    int threads = strcmp(how, "threads") == 0 || strcmp(more, "threads") == 0;
    MUST(pthread_barrier_init(&barrier, NULL, 2));
    if (strcmp(how, "daemon") == 0) {
        if (daemon(1, 1) != 0)
            return 96;
    } else if (strcmp(how, "setsid") == 0) {
        if (fork() > 0)
            _exit(0);
        if (setsid() < 0)
            return 96;
        if (fork() > 0)
            _exit(0);
        threads = 1;
    } else {
        pid_t child = fork();
        if (child > 0)
            return waitpid(child, NULL, 0) == child ? 0 : 95;
    }
    alarm(120);
    if (strcmp(more, "closes") == 0)
        for (int fd = 3; fd < 300; fd++)
            close(fd);
    if (threads) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, thread, NULL));
        pthread_barrier_wait(&barrier);
    }
    printf("%d\n", getpid());
    fflush(stdout);
    for (;;)
        pause();
}
