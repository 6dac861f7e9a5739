/* A child that holds its parent's end of the socket too, outlives the parent, and asks for itself.

   usage: holds_socket [-daemonize] */
#include "with_broker.h"
#include <signal.h>
#include <sys/prctl.h>

static int from_cpu;

static int not_moved(void)
{
    return mask_of(0) == 1ul << from_cpu;
}

static void ask_for_itself(void)
{
    for (int i = 0; i < 5; i++) {
        tell(TAKE_OVER, 0, 0);
        tell(PIN, 0, getpid());
        tell(LOOK, 0, 0);
        tell(WATCH, 0, 0);
    }
    int answer = ask_for(PIN, 0, getpid(), NULL, 500);
    printf("%s, %s\n", answer == 2 ? "served" : "not served", not_moved() ? "not moved" : "moved");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    (void)argv;
    from_cpu = atoi(getenv("FROM_CPU"));
    MUST(move_to(0, from_cpu));
    MUST(load_sandbox());
    find_socket();
    find_memory();
    int gone[2];
    if (sock < 0 || !answers || pipe(gone) != 0)
        return 96;
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(gone[1]);
        /* Nobody waits for it. */
        alarm(120);
        if (argc == 1)
            ask_for_itself();
        puts("ready");
        fflush(stdout);
        /* The end of the parent. */
        while (read(gone[0], &byte, 1) != 0)
            ;
        usleep(200000);
        ask_for_itself();
        for (;;)
            pause();
    }
    printf("child %d\n", child);
    fflush(stdout);
    pause();
    return 0;
}
