/* A program with a thousand threads, for runs in which the library writes to a standard error that nothing
   reads. */
#include "common.h"
#include <signal.h>

static volatile sig_atomic_t pipes_broken;

static void on_pipe(int signal)
{
    (void)signal;
    pipes_broken++;
}

static void *thread(void *arg) { return arg; }

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        signal(SIGPIPE, on_pipe);
    for (int i = 0; i < 1000; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, thread, NULL));
        MUST(pthread_join(id, NULL));
    }
    printf("done, %d\n", pipes_broken);
    return 0;
}
