/* Does what makes a thread of the kernel's in this process, inside a filter of its own if it is told to.

   usage: kernel_thread_owner free|sandboxed vhost|vhost_worker|vhost_workers|io_uring */
#include "common.h"
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/vhost.h */
#define VHOST_SET_OWNER 0xAF01
#define VHOST_NEW_WORKER 0x8004AF08

int seccomp_load(void *context);
int io_uring_submit(void *ring) __attribute__((weak));

int main(int argc, char **argv)
{
    /* As large as liburing's. Its descriptor, 0, is no ring. */
    static int ring[54];
    if (argc != 3)
        return 95;
    if (strcmp(argv[1], "sandboxed") == 0)
        MUST(-seccomp_load(NULL));
    if (strcmp(argv[2], "vhost") == 0)
        printf("%d\n", ioctl(-1, VHOST_SET_OWNER, 0) == 0);
    else if (strcmp(argv[2], "vhost_worker") == 0)
        printf("%d\n", ioctl(-1, VHOST_NEW_WORKER, 0) == 0);
    else if (strcmp(argv[2], "vhost_workers") == 0) {
        /* Three devices, then one fewer, and another with two queues. */
        for (int i = 0; i < 3; i++)
            if (ioctl(-1, VHOST_SET_OWNER, 0) != 0)
                return 96;
        ioctl(1, 1, 0);
        printf("%d\n", ioctl(-1, VHOST_SET_OWNER, 0) == 0 && ioctl(-1, VHOST_NEW_WORKER, 0) == 0);
    } else
        printf("%d\n", io_uring_submit ? io_uring_submit(ring) : -1);
    fflush(stdout);
    pause();
    return 0;
}
