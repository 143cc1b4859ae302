/* Tagged packets:
 *
 *     0          4                 12     13
 *     +----------+-----------------+------+---- - - ----+
 *     | u32 size | u64 client id   | flag | data        |        size = 9 + data
 *     +----------+-----------------+------+---- - - ----+ */
#include <string.h>
#include <voltlane/codec.h>

#include "backend_codec.h"
#include "error.h"
#include "frame.h"

enum { DATA = 0, FAILURE = 1, RECONNECTION = 3, AWAY = 4, ADDRESS = 7 };

/* Where a connection is in the list of sessions with which it begins. */
enum list { LISTING, LIST_DONE };

struct codec {
  size_t max_packet_size;
  uint64_t listed_id;
  unsigned char list;
  /* A reconnection was listed; its address and that it is away may follow it directly, in this order. */
  unsigned char may_have_address, may_be_away;
} __attribute__((may_alias));

_Static_assert(sizeof(struct codec) <= sizeof(vl_backend_codec), "the public size has room for the codec");

void vl_backend_codec_init(vl_backend_codec *codec, size_t max_packet_size) {
  struct codec *self = (struct codec *)codec;
  memset(codec, 0, sizeof *codec);
  self->max_packet_size = max_packet_size ? max_packet_size : VL_MAX_PACKET_SIZE;
}

/* Whether a packet belongs to the list. */
static bool is_listed(struct codec *codec, unsigned char flag, uint64_t id) {
  bool is_same = id == codec->listed_id;
  switch (flag) {
    case RECONNECTION:
      codec->listed_id = id;
      codec->may_have_address = codec->may_be_away = 1;
      return true;
    case ADDRESS:
      if (!is_same || !codec->may_have_address) return false;
      codec->may_have_address = 0;
      return true;
    case AWAY:
      if (!is_same || !codec->may_be_away) return false;
      codec->may_have_address = codec->may_be_away = 0;
      return true;
    default:
      return false;
  }
}

/* Family, address, port. False where they do not fill the data. */
static bool read_address(vl_address *address, const unsigned char *data, size_t size) {
  if (size < 1) return false;
  size_t count;
  switch (data[0]) {
    case 4: count = 4; break;
    case 6: count = 16; break;
    case 0: count = 0; break;
    default: return false;
  }
  if (size != 1 + count + 2) return false;
  address->family = data[0];
  memcpy(address->bytes, data + 1, count);
  address->port = vli_get16(data + 1 + count);
  return true;
}

bool vli_backend_flag_is_valid(unsigned char flag) {
  return flag == DATA || flag == FAILURE || flag == RECONNECTION || flag == AWAY || flag == ADDRESS;
}

static void read_packet(const unsigned char *packet, size_t size, vl_backend_event *event) {
  event->kind = VL_BACKEND_SKIPPED;
  if (size < VLI_TAG) return;
  event->client_id = vli_get64(packet);
  event->data = packet + VLI_TAG;
  event->size = size - VLI_TAG;
  switch (packet[8]) {
    case DATA: event->kind = VL_BACKEND_DATA; break;
    case FAILURE: event->kind = VL_BACKEND_FAILURE; break;
    case RECONNECTION: event->kind = VL_BACKEND_RECONNECTION; break;
    case AWAY: event->kind = VL_BACKEND_AWAY; break;
    case ADDRESS:
      if (read_address(&event->address, event->data, event->size)) event->kind = VL_BACKEND_ADDRESS;
      break;
    default: break;
  }
}

int vl_backend_codec_read(
    vl_backend_codec *codec, const void *bytes, size_t size, size_t *used, vl_backend_event *event) {
  struct codec *self = (struct codec *)codec;
  const unsigned char *input = bytes;
  size_t data_size = 0;
  *used = 0;
  memset(event, 0, sizeof *event);
  switch (vli_frame_look(input, size, self->max_packet_size + VLI_TAG, &data_size, &event->needed)) {
    case VLI_FRAME_PARTIAL:
      event->kind = VL_BACKEND_MORE;
      return VL_OK;
    case VLI_FRAME_OVERSIZED:
      return vli_fail(
          VL_E_PROTOCOL, "a tagged packet of %lu bytes where %lu are allowed", (unsigned long)vli_get32(input),
          (unsigned long)(self->max_packet_size + VLI_TAG));
    case VLI_FRAME_WHOLE:
      break;
  }
  const unsigned char *packet = input + VL_PACKET_HEADER_SIZE;
  if (self->list == LISTING &&
      !(data_size >= VLI_TAG && is_listed(self, packet[8], vli_get64(packet)))) {
    /* Takes nothing: the packet itself comes next. */
    self->list = LIST_DONE;
    event->kind = VL_BACKEND_ANNOUNCED;
    return VL_OK;
  }
  read_packet(packet, data_size, event);
  *used = VL_PACKET_HEADER_SIZE + data_size;
  return VL_OK;
}

void vl_put_tagged_header(unsigned char header[VL_TAGGED_HEADER_SIZE], uint64_t client_id, int flag, size_t size) {
  vli_put32(header, (uint32_t)(VLI_TAG + size));
  vli_put64(header + 4, client_id);
  header[12] = (unsigned char)flag;
}

/* A multicast is a tagged packet for the id 0, whose data is the kind, the number of ids, the ids and the packet. */
void vl_put_multicast_header(
    unsigned char header[VL_MULTICAST_HEADER_SIZE], int kind, size_t id_count, size_t size) {
  vl_put_tagged_header(header, 0, VL_FLAG_MULTICAST, 5 + 8 * id_count + size);
  header[13] = (unsigned char)kind;
  vli_put32(header + 14, (uint32_t)id_count);
}

void vl_put_ids(unsigned char *bytes, const uint64_t *ids, size_t id_count) {
  for (size_t i = 0; i < id_count; i++) vli_put64(bytes + 8 * i, ids[i]);
}
