/* Other programs started from a target in every way there is. */
#include "common.h"
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void wait_for(const char *what, pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    printf("%s: %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    fflush(stdout);
}

static void *thread(void *arg)
{
    char *args[] = {"sh", "-c", "echo spawned; exit 3", NULL};
    pid_t pid;
    MUST(posix_spawnp(&pid, "sh", NULL, NULL, args, environ));
    wait_for("posix_spawn", pid);
    return arg;
}

int main(void)
{
    pthread_t id;
    setvbuf(stdout, NULL, _IONBF, 0);
    pid_t pid = vfork();
    if (pid == 0) {
        execlp("sh", "sh", "-c", "echo forked; exit 4", (char *)NULL);
        _exit(127);
    }
    wait_for("vfork", pid);
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    printf("system: %d\n", WEXITSTATUS(system("echo system; exit 5")));
    char line[64] = "";
    FILE *pipe = popen("echo piped", "r");
    if (!pipe || !fgets(line, sizeof line, pipe))
        return 99;
    printf("popen: %s", line);
    pclose(pipe);
    return 6;
}
