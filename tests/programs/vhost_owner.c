/* Asks for a vhost worker, inside a filter of its own if it is told to. */
#include "common.h"
#include <sys/ioctl.h>
#include <unistd.h>

int seccomp_load(void *context);

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandboxed") == 0)
        MUST(-seccomp_load(NULL));
    printf("%d\n", ioctl(-1, 0xAF01, 0));
    fflush(stdout);
    pause();
    return 0;
}
