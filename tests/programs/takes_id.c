/* Makes another process that has the id of one that has ended.

   usage: takes_id PID */
#include "common.h"
#include "with_id.h"

int main(int argc, char **argv)
{
    pid_t made = argc > 1 ? process_with_id(atoi(argv[1])) : -EINVAL;
    printf("%s\n", made > 0 ? "taken" : strerror(-made));
    fflush(stdout);
    pause();
    return 0;
}
