/* A wrapper as NixOS makes them: it sets a variable and becomes the program that its arguments name. MOVE_TO, if it is
   set, is the CPU that it moves itself to before. */
#include "common.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 99;
    setenv("WRAPPED", "1", 1);
    char *cpu = getenv("MOVE_TO");
    unsigned long mask = cpu ? 1ul << atoi(cpu) : 0;
    if (cpu && syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) != 0)
        return 99;
    /* One that fails changes nothing. */
    execv("/nonexistent", argv);
    execv(argv[1], argv + 1);
    return 99;
}
