/* Counts the SIGCHLD it gets and the children it has, until it is told by SIGUSR1 to say so. */
#include "common.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int seccomp_load(void *context);

static volatile sig_atomic_t chld;

static void on_chld(int signal)
{
    (void)signal;
    chld++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_chld};
    sigset_t usr1;
    int got;
    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    MUST(-seccomp_load(NULL));
    puts("loaded");
    fflush(stdout);
    while (sigwait(&usr1, &got) != 0)
        ;
    int status;
    int children = waitpid(-1, &status, WNOHANG | __WALL) != -1 || errno != ECHILD;
    printf("SIGCHLD %d, children %d\n", (int)chld, children);
    return 0;
}
