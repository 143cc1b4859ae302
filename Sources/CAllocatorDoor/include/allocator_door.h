#ifndef ALLOCATOR_DOOR_H
#define ALLOCATOR_DOOR_H

// Stands where the process asks for memory, and counts what is asked for while the relay runs, until it is given back:
// by what the allocator takes for it, not by what was asked for. One thread.

/// Whether the relay runs from now on.
void allocator_door_set_inside(_Bool is_inside);
/// Bytes that the relay has asked for and not given back.
long allocator_door_held(void);
/// The `number`th malloc or realloc from now on that the program's own code calls while the relay runs fails; 0: none.
void allocator_door_fail(long number);
/// Forgets what was not given back: a new relay begins.
void allocator_door_begin(void);

#endif
