/* A library inside QEMU that says, just before each thread's first KVM_RUN, where the threads of the
   process may run: a line "TID at the first run of SELF may run on LIST" for each. */
#include "first_run.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static void at_first_run(void)
{
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            say(entry->d_name);
    if (folder)
        closedir(folder);
}
