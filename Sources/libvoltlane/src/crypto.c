#include "crypto.h"

#include <assert.h>
#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_preallocated.h>
#include <sodium.h>
#include <stdalign.h>
#include <string.h>

_Static_assert(VLI_CHALLENGE_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES + VLI_NONCE_SIZE == VLI_BOX_SIZE, "box");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == VLI_NONCE_SIZE, "nonce");
_Static_assert(crypto_auth_hmacsha256_BYTES == VLI_SESSION_KEY_SIZE, "key");

/* What the protocol uses as salt and info. */
static const unsigned char label[] = {'V', 'O', 'L', 'T', 'L', 'A', 'N', 'E', '.', 'N', 'E', 'T'};

/* More than a context of any version so far takes (0.2: 208 bytes). */
#define CONTEXT_SIZE 1024

int vli_crypto_start(void) {
  return sodium_init() < 0 ? VL_E_SYSTEM : VL_OK;
}

int vli_secret_key_make(unsigned char secret[VL_SECRET_KEY_SIZE]) {
  /* All but 2^-128 of all numbers of this size are keys. */
  do randombytes_buf(secret, VL_SECRET_KEY_SIZE);
  while (!secp256k1_ec_seckey_verify(secp256k1_context_static, secret));
  return VL_OK;
}

static void serialize(unsigned char public_key[VL_PUBLIC_KEY_SIZE], const secp256k1_pubkey *point) {
  size_t size = VL_PUBLIC_KEY_SIZE;
  secp256k1_ec_pubkey_serialize(secp256k1_context_static, public_key, &size, point, SECP256K1_EC_COMPRESSED);
}

int vli_public_key(unsigned char public_key[VL_PUBLIC_KEY_SIZE], const unsigned char secret[VL_SECRET_KEY_SIZE]) {
  /* The static context cannot make public keys; one in our own memory can, and takes none of the heap. */
  alignas(16) unsigned char memory[CONTEXT_SIZE];
  if (secp256k1_context_preallocated_size(SECP256K1_CONTEXT_NONE) > sizeof memory) return VL_E_SYSTEM;
  secp256k1_context *context = secp256k1_context_preallocated_create(memory, SECP256K1_CONTEXT_NONE);
  /* Blinds the computation with the secret key against what leaks by time and power. */
  unsigned char seed[32];
  randombytes_buf(seed, sizeof seed);
  secp256k1_pubkey point;
  int is_key = secp256k1_context_randomize(context, seed) && secp256k1_ec_pubkey_create(context, &point, secret);
  secp256k1_context_preallocated_destroy(context);
  sodium_memzero(memory, sizeof memory);
  if (!is_key) return VL_E_ARGUMENT;
  serialize(public_key, &point);
  return VL_OK;
}

int vli_public_key_read(unsigned char public_key[VL_PUBLIC_KEY_SIZE], const unsigned char *bytes, size_t size) {
  /* The library also reads the hybrid form, 65 bytes with the tags 06 and 07, which the protocol has not. */
  int is_short = size == 33 && (bytes[0] == 2 || bytes[0] == 3);
  int is_long = size == 65 && bytes[0] == 4;
  secp256k1_pubkey point;
  if (!is_short && !is_long) return VL_E_ARGUMENT;
  if (!secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, bytes, size)) return VL_E_ARGUMENT;
  serialize(public_key, &point);
  return VL_OK;
}

/* Takes the place of libsecp256k1's own hash of the point, which is another one. */
static int copy_x(unsigned char *output, const unsigned char *x, const unsigned char *y, void *context) {
  (void)y;
  (void)context;
  memcpy(output, x, 32);
  return 1;
}

int vli_session_key(
    unsigned char key[VLI_SESSION_KEY_SIZE], const unsigned char secret[VL_SECRET_KEY_SIZE],
    const unsigned char relay_key[VL_PUBLIC_KEY_SIZE]) {
  secp256k1_pubkey point;
  unsigned char x[32], inner[crypto_auth_hmacsha256_BYTES];
  if (!secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, relay_key, VL_PUBLIC_KEY_SIZE)) {
    return VL_E_ARGUMENT;
  }
  if (!secp256k1_ecdh(secp256k1_context_static, x, &point, secret, copy_x, NULL)) return VL_E_ARGUMENT;
  /* HKDF: extract with the label as salt, then the one block of expand that 32 bytes need. */
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, label, sizeof label);
  crypto_auth_hmacsha256_update(&state, x, sizeof x);
  crypto_auth_hmacsha256_final(&state, inner);
  crypto_auth_hmacsha256_init(&state, inner, sizeof inner);
  crypto_auth_hmacsha256_update(&state, label, sizeof label);
  crypto_auth_hmacsha256_update(&state, (const unsigned char[]){1}, 1);
  crypto_auth_hmacsha256_final(&state, key);
  sodium_memzero(x, sizeof x);
  sodium_memzero(inner, sizeof inner);
  sodium_memzero(&state, sizeof state);
  return VL_OK;
}

int vli_box_open(
    unsigned char plain[VLI_CHALLENGE_SIZE], const unsigned char box[VLI_BOX_SIZE],
    const unsigned char key[VLI_SESSION_KEY_SIZE]) {
  const size_t sealed = VLI_BOX_SIZE - VLI_NONCE_SIZE;
  return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, box, sealed, NULL, 0, box + sealed, key);
}

void vli_box_seal(
    unsigned char box[VLI_BOX_SIZE], const unsigned char plain[VLI_CHALLENGE_SIZE],
    const unsigned char nonce[VLI_NONCE_SIZE], const unsigned char key[VLI_SESSION_KEY_SIZE]) {
  crypto_aead_xchacha20poly1305_ietf_encrypt(box, NULL, plain, VLI_CHALLENGE_SIZE, NULL, 0, NULL, nonce, key);
  memcpy(box + VLI_BOX_SIZE - VLI_NONCE_SIZE, nonce, VLI_NONCE_SIZE);
}

void vli_nonce_make(unsigned char nonce[VLI_NONCE_SIZE], const unsigned char other[VLI_NONCE_SIZE]) {
  do randombytes_buf(nonce, VLI_NONCE_SIZE);
  while (memcmp(nonce, other, VLI_NONCE_SIZE) == 0);
}

int vli_random_up_to(int most) {
  return most <= 0 ? 0 : (int)randombytes_uniform((uint32_t)most + 1);
}

unsigned long long vli_random_number(void) {
  unsigned long long number;
  randombytes_buf(&number, sizeof number);
  return number;
}

void vli_wipe(void *memory, size_t size) {
  sodium_memzero(memory, size);
}
