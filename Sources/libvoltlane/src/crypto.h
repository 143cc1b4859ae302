/* Keys and sealed boxes: libsodium and libsecp256k1 behind the few things that the handshake needs. */
#ifndef VLI_CRYPTO_H
#define VLI_CRYPTO_H

#include <voltlane/base.h>

#define VLI_CHALLENGE_SIZE 32u
#define VLI_NONCE_SIZE 24u
#define VLI_TAG_SIZE 16u
/* Ciphertext, tag, nonce: the nonce stands last. */
#define VLI_BOX_SIZE (VLI_CHALLENGE_SIZE + VLI_TAG_SIZE + VLI_NONCE_SIZE)
#define VLI_SESSION_KEY_SIZE 32u

/* Whether the libraries can be used: they have randomness. Any number of times, from any thread. */
int vli_crypto_start(void);

/* Makes a secret key. */
int vli_secret_key_make(unsigned char secret[VL_SECRET_KEY_SIZE]);

/* The public key of a secret one; VL_E_ARGUMENT where it is none. */
int vli_public_key(unsigned char public_key[VL_PUBLIC_KEY_SIZE], const unsigned char secret[VL_SECRET_KEY_SIZE]);

/* Reads a SEC1 point of 33 bytes (tags 02, 03) or 65 (tag 04) and writes the short form; VL_E_ARGUMENT. */
int vli_public_key_read(unsigned char public_key[VL_PUBLIC_KEY_SIZE], const unsigned char *bytes, size_t size);

/* HKDF-SHA256 of the x coordinate of the keys' ECDH point; VL_E_ARGUMENT where a key is none. */
int vli_session_key(
    unsigned char key[VLI_SESSION_KEY_SIZE], const unsigned char secret[VL_SECRET_KEY_SIZE],
    const unsigned char relay_key[VL_PUBLIC_KEY_SIZE]);

/* 0, or -1 where the box cannot be opened with this key. */
int vli_box_open(
    unsigned char plain[VLI_CHALLENGE_SIZE], const unsigned char box[VLI_BOX_SIZE],
    const unsigned char key[VLI_SESSION_KEY_SIZE]);

void vli_box_seal(
    unsigned char box[VLI_BOX_SIZE], const unsigned char plain[VLI_CHALLENGE_SIZE],
    const unsigned char nonce[VLI_NONCE_SIZE], const unsigned char key[VLI_SESSION_KEY_SIZE]);

/* Random, and not the nonce that `other` ends with: a relay refuses a response under its own challenge's nonce. */
void vli_nonce_make(unsigned char nonce[VLI_NONCE_SIZE], const unsigned char other[VLI_NONCE_SIZE]);

/* Between 0 and `most`, for delays. */
int vli_random_up_to(int most);
unsigned long long vli_random_number(void);

void vli_wipe(void *memory, size_t size);

#endif
