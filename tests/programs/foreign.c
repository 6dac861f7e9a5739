/* Another library's start routine: its argument begins with the address of what it runs. */
void *foreign_routine(void *arg);
void *foreign_routine(void *arg)
{
    void *(*routine)(void *) = *(void *(**)(void *))arg;
    return routine(arg);
}
