// Makes COUNT ioctls that the library only passes on: the request is unknown, the descriptor bad.
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
    (void)argc;
    for (long i = atol(argv[1]); i > 0; i--)
        ioctl(-1, 0x1234, NULL);
    return 0;
}
