/* The queues of a connection against a model: what goes in comes out, in order, and a packet that is lent stays.
 *
 * The inbox is a stream of bytes of which each is known by its place. Random steps read, take packets away, lend them,
 * and look that the lent one is as it was. The outbox is written by random amounts and rewound now and then, as when a
 * connection is lost: the receiver then forgets the part of a packet that it has, as a relay does. */
#include "buffers.h"

#include "bytes.h"
#include "test.h"

static unsigned char byte_at(size_t place) {
  return (unsigned char)(place % 251);
}

static void inbox_keeps_bytes_and_loans(void) {
  unsigned state = test_seed();
  for (int round = 0; round < 300; round++) {
    struct vli_inbox inbox;
    vli_inbox_init(&inbox, 1 + test_random(&state, 64));
    size_t came = 0, taken = 0, lent_place = 0, lent_size = 0;
    const unsigned char *lent = NULL;
    for (int step = 0; step < 400; step++) {
      switch (test_random(&state, 4)) {
        case 0:
        case 1: {
          size_t needed = test_random(&state, 2) ? vli_inbox_size(&inbox) + test_random(&state, 5000) : 0;
          CHECK(vli_inbox_make_room(&inbox, needed));
          CHECK(inbox.end < inbox.capacity);
          size_t count = 1 + test_random(&state, (unsigned)(inbox.capacity - inbox.end));
          for (size_t i = 0; i < count; i++) inbox.block[inbox.end + i] = byte_at(came + i);
          inbox.end += count;
          came += count;
          break;
        }
        case 2: {
          unsigned char more[100];
          size_t count = test_random(&state, sizeof more);
          for (size_t i = 0; i < count; i++) more[i] = byte_at(came + i);
          CHECK(vli_inbox_append(&inbox, more, count));
          came += count;
          break;
        }
        default:
          vli_inbox_take_back(&inbox);
          lent_size = test_random(&state, (unsigned)vli_inbox_size(&inbox) + 1);
          lent = vli_inbox_bytes(&inbox);
          lent_place = taken;
          inbox.begin += lent_size;
          inbox.is_lent = true;
          taken += lent_size;
      }
      CHECK(inbox.begin <= inbox.end && inbox.end <= inbox.capacity);
      CHECK(inbox.is_lent || !inbox.old_block);
      CHECK_EQUAL(vli_inbox_size(&inbox), came - taken);
      for (size_t i = 0; i < came - taken; i++) CHECK_EQUAL(vli_inbox_bytes(&inbox)[i], byte_at(taken + i));
      for (size_t i = 0; i < lent_size; i++) CHECK_EQUAL(lent[i], byte_at(lent_place + i));
      /* It grows with what is there, not with what somebody declares. */
      CHECK(inbox.capacity <= 2 * (came + 64) + 1);
    }
    vli_inbox_destroy(&inbox);
  }
}

static void large_inbox_is_given_back(void) {
  struct vli_inbox inbox;
  static unsigned char much[8 << 20];
  vli_inbox_init(&inbox, 65536);
  CHECK(vli_inbox_append(&inbox, much, sizeof much));
  CHECK(inbox.capacity >= sizeof much && inbox.capacity <= 2 * sizeof much);
  inbox.begin = inbox.end;
  CHECK(vli_inbox_make_room(&inbox, 0));
  CHECK_EQUAL(inbox.capacity, 65536);
  vli_inbox_destroy(&inbox);
}

static void outbox_sends_whole_packets_once(void) {
  unsigned state = test_seed();
  static unsigned char stream[1 << 20];
  for (int round = 0; round < 300; round++) {
    struct vli_outbox outbox = {0};
    size_t received = 0;
    uint32_t added = 0, complete = 0;
    for (int step = 0; step < 300; step++) {
      switch (test_random(&state, 8)) {
        case 0:
        case 1:
        case 2: {
          unsigned char header[4], data[2000];
          size_t size = 4 + test_random(&state, sizeof data - 4);
          memset(data, (int)(added & 255), size);
          vli_put32(data, added++);
          vli_put32(header, (uint32_t)size);
          const struct iovec pieces[3] = {{header, 4}, {data, size / 2}, {data + size / 2, size - size / 2}};
          size_t sent = 0;
          if (vli_outbox_size(&outbox) == 0 && test_random(&state, 2)) {
            /* The beginning has gone straight from the pieces. */
            sent = test_random(&state, 4);
            memcpy(stream + received, header, sent);
            received += sent;
          }
          CHECK(vli_outbox_append(&outbox, pieces, 3, sent));
          break;
        }
        case 3:
          if (test_random(&state, 8) == 0) {
            vli_outbox_rewind(&outbox);
            received = 0;
          }
          break;
        default: {
          size_t size = vli_outbox_size(&outbox);
          if (size == 0) break;
          size_t count = 1 + test_random(&state, (unsigned)(size < 3000 ? size : 3000));
          memcpy(stream + received, vli_outbox_bytes(&outbox), count);
          received += count;
          vli_outbox_wrote(&outbox, count);
        }
      }
      CHECK_EQUAL(vli_outbox_size(&outbox), outbox.added - outbox.left);
      CHECK(outbox.begin <= outbox.end && outbox.end <= outbox.capacity);
      size_t at = 0;
      while (received - at >= 4 && received - at - 4 >= vli_get32(stream + at)) {
        CHECK_EQUAL(vli_get32(stream + at + 4), complete);
        complete++;
        at += 4 + vli_get32(stream + at);
      }
      memmove(stream, stream + at, received - at);
      received -= at;
    }
    vli_outbox_clear(&outbox);
    CHECK_EQUAL(vli_outbox_size(&outbox), 0);
    CHECK_EQUAL(outbox.added, outbox.left);
    vli_outbox_destroy(&outbox);
  }
}

int main(void) {
  RUN(inbox_keeps_bytes_and_loans);
  RUN(large_inbox_is_given_back);
  RUN(outbox_sends_whole_packets_once);
  TESTS_DONE();
}
