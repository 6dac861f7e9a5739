/* A library inside QEMU that says, just before each thread's first KVM_RUN, where the threads of the
   process may run: "TID at the first run of SELF may run on LIST", for itself, and for all. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...);

static void say(const char *tid)
{
    char path[300], line[500], said[600];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "Cpus_allowed_list:\t", 19) == 0) {
            int length = snprintf(said, sizeof said, "%s at the first run of %ld may run on %s", tid,
                                  syscall(SYS_gettid), line + 19);
            if (write(2, said, length) != length)
                abort();
        }
    if (status)
        fclose(status);
}

int ioctl(int fd, unsigned long request, ...)
{
    static __thread int done;
    int (*next)(int, unsigned long, void *) = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    va_list args;
    va_start(args, request);
    void *third = va_arg(args, void *);
    va_end(args);
    if ((unsigned)request == 0xAE80 && !done) {
        done = 1;
        DIR *folder = opendir("/proc/self/task");
        for (struct dirent *entry; folder && (entry = readdir(folder));)
            if (entry->d_name[0] != '.')
                say(entry->d_name);
        if (folder)
            closedir(folder);
    }
    return next(fd, request, third);
}
