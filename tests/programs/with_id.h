/* A process with a process id of one's choice, which must be free. Needs root (clone3(2), set_tid; Linux 5.5). */
#ifndef WITH_ID_H
#define WITH_ID_H

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Makes a process of the user nobody that does nothing but stand on its maker's CPUs; its id, or minus errno. An id is
   free only a moment after its thread has ended. */
static inline pid_t process_with_id(pid_t id)
{
    for (int i = 0; i < 1000; i++) {
        struct clone_args how = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&id, .set_tid_size = 1};
        pid_t made = syscall(SYS_clone3, &how, sizeof how);
        if (made == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (syscall(SYS_setresgid, 65534, 65534, 65534) || syscall(SYS_setresuid, 65534, 65534, 65534))
                _exit(1);
            /* A change of user has cleared it. */
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        if (made > 0)
            return made;
        if (errno != EEXIST)
            return -errno;
        usleep(1000);
    }
    return -EEXIST;
}

#endif
