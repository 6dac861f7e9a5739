/* Becomes a daemon as QEMU does (os-posix.c, os_daemonize): a child of a child, while the first process waits for it. An
   atfork handler of QEMU's creates call_rcu in each child. The daemon's IOThreads belong elsewhere than itself.

   usage: daemonizes -daemonize */
#include "as_qemu.h"
#include "with_broker.h"
#include <signal.h>
#include <stdatomic.h>

static void *look(void *placed)
{
    atomic_store((atomic_int *)placed, confined());
    return NULL;
}

/* Whether a new IOThread was in place. */
static int iothread_in_place(void)
{
    atomic_int placed = 0;
    struct qemu_start start = {look, &placed, "IO io1"};
    MUST(pthread_join(create_as_qemu(NULL, &start), NULL));
    return placed;
}

static void say(const char *who, int in_place)
{
    printf("%s: %s\n", who, in_place ? "in place" : "off");
    fflush(stdout);
}

int main(void)
{
    int done[2], gone[2], signal;
    char byte = 0;
    sigset_t begin;
    sigemptyset(&begin);
    sigaddset(&begin, SIGUSR1);
    sigprocmask(SIG_BLOCK, &begin, NULL);
    MUST(pthread_atfork(NULL, NULL, create_call_rcu));
    create_call_rcu();
    MUST(load_sandbox());
    find_socket();
    find_memory();
    if (pipe(done) != 0 || pipe(gone) != 0)
        return 96;
    if (fork() != 0) {
        close(done[1]);
        return read(done[0], &byte, 1) == 1 ? 0 : 95;
    }
    if (fork() != 0)
        _exit(0);
    alarm(120);
    close(gone[1]);
    printf("daemon %d\n", getpid());
    say("before its parent ends", iothread_in_place());
    if (write(done[1], &byte, 1) != 1 || read(gone[0], &byte, 1) != 0)
        return 94;
    usleep(200000);
    say("after that", iothread_in_place());
    /* A child, by a fork without atfork handlers, is another process. */
    pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        unsigned long before = mask_of(0);
        alarm(120);
        printf("other %d\n", (int)syscall(SYS_getpid));
        for (int set = 0; set < 4; set++) {
            tell(TAKE_OVER, 0, 0);
            ask_for(PIN, set, (int)syscall(SYS_getpid), NULL, 200);
        }
        say("its child", mask_of(0) != before);
        for (;;)
            pause();
    }
    sigwait(&begin, &signal);
    say("after its child has asked", iothread_in_place());
    sigwait(&begin, &signal);
    return 0;
}
