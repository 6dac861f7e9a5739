/* Queues requests for its own main thread while nobody deals with them, and waits for its end. */
#include "with_broker.h"
#include <signal.h>

int main(void)
{
    sigset_t begin;
    int signal;
    sigemptyset(&begin);
    sigaddset(&begin, SIGUSR1);
    sigprocmask(SIG_BLOCK, &begin, NULL);
    MUST(load_sandbox());
    find_socket();
    printf("ready %d\n", getpid());
    fflush(stdout);
    sigwait(&begin, &signal);
    for (int i = 0; i < 5; i++) {
        MUST(tell(PIN, 0, getpid()));
        MUST(tell(LOOK, 0, 0));
    }
    puts("queued");
    fflush(stdout);
    pause();
    return 0;
}
