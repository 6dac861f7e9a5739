/* A library in the kernel's place: VHOST_SET_OWNER, VHOST_NEW_WORKER and a submission to an io_uring make a thread of
   the calling process, as the kernel does since Linux 6.4 and 5.12, by a clone that no library sees. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...);
int io_uring_submit(void *ring);

static atomic_int named;

/* System calls only: this thread has no thread-local storage of its own. */
static int worker(void *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
    named = 1;
    while (named)
        pause();
    return 0;
}

static int make_worker(const char *kind, long whose)
{
    static char name[16], stack[65536] __attribute__((aligned(16)));
    snprintf(name, sizeof name, "%s-%d", kind, (int)whose);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    if (clone(worker, stack + sizeof stack, flags, name) < 0)
        return -1;
    /* The kernel's has its name from the first. */
    while (!named)
        sched_yield();
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    int makes_one = (unsigned)request == 0xAF01 || (unsigned)request == 0x8004AF08;
    return makes_one ? make_worker("vhost", getpid()) : -1;
}

/* liburing's: the number of requests submitted. */
int io_uring_submit(void *ring)
{
    (void)ring;
    return make_worker("iou-wrk", syscall(SYS_gettid)) == 0 ? 1 : -1;
}
