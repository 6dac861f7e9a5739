/* A program that was started without a standard error: the first file that it opens becomes
   descriptor 2, and nobody else may write there. The file's path is the argument. */
#include "common.h"
#include <fcntl.h>
#include <sys/stat.h>

static void *thread(void *arg) { return arg; }

int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    for (int i = 0; i < 100; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, thread, NULL));
        MUST(pthread_join(id, NULL));
    }
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return 99;
    printf("descriptor %d, %ld bytes\n", fd, (long)stat.st_size);
    return 0;
}
