/* A program that has closed its descriptors below COUNT when it loads its filter, so that whatever is
   opened next gets these numbers. It keeps its standard output under a high one.

   usage: low_descriptors COUNT */
#include "as_qemu.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int seccomp_load(void *context);

static void *child(void *arg)
{
    *(int *)arg = confined();
    return NULL;
}

static int iothread_is_placed(void)
{
    int placed = 0;
    struct qemu_start start = {child, &placed, "IO io1"};
    MUST(pthread_join(create_as_qemu(NULL, &start), NULL));
    return placed;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;
    int out = fcntl(1, F_DUPFD, 100), open = 0;
    if (out < 0)
        return 99;
    create_call_rcu();
    for (int fd = 0; fd < count; fd++)
        close(fd);
    int loaded = seccomp_load(NULL);
    for (int fd = 0; fd < count; fd++)
        open += fcntl(fd, F_GETFD) != -1 || errno != EBADF;
    dprintf(out, "loaded %d, placed %d, open again %d\n", loaded, iothread_is_placed(), open);
    pause();
    return 0;
}
