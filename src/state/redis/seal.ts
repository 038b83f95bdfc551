/**
 * Seals what instances of a cluster store in Redis: somebody who can write to Redis but doesn't know the secret can't forge a record or
 * move one to another key. Confidential records are encrypted.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const MAC_LENGTH = 64

/** AES-256-GCM: a random nonce (96 bits, NIST SP 800-38D section 8.2.2), the ciphertext, the tag. */
const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Makes and checks seals. A sealed text is the MAC in hex (empty without a secret), a dot, and the text. */
export class Seal {
  readonly #keys: readonly Buffer[]

  /**
   * @param cluster name of the cluster: its records are not valid in another one
   * @param secrets the first one makes seals, all of them check; without any, records have no MAC
   */
  constructor(cluster: string, secrets: readonly string[]) {
    this.#keys = secrets.map((secret) => createHmac('sha256', secret).update(`banyan cluster ${cluster}`).digest())
  }

  /** @param key under which the text is stored */
  close(key: string, text: string): string {
    const [first] = this.#keys
    return `${first === undefined ? '' : macOf(first, key, text).toString('hex')}.${text}`
  }

  /** @returns the text, or null if it is not sealed for this key with one of the secrets */
  open(key: string, sealed: string): string | null {
    if (this.#keys.length === 0) return sealed.startsWith('.') ? sealed.slice(1) : null
    if (sealed[MAC_LENGTH] !== '.') return null
    const mac = Buffer.from(sealed.slice(0, MAC_LENGTH), 'hex')
    const text = sealed.slice(MAC_LENGTH + 1)
    const isGood = this.#keys.some((own) => mac.length === 32 && timingSafeEqual(mac, macOf(own, key, text)))
    return isGood ? text : null
  }

  /** Whether records may be sealed with a secret other than the first one. */
  get hasEarlier(): boolean {
    return this.#keys.length > 1
  }

  /** Reseals with the first secret what another one has sealed; null if it is sealed with the first one already, or can't be opened. */
  renewed(key: string, sealed: string): string | null {
    const text = this.hasEarlier ? this.open(key, sealed) : null
    const again = text === null ? null : this.close(key, text)
    return again === sealed ? null : again
  }

  /** Why `open` returns null for a text that another instance has sealed, and what to do. */
  flawOf(sealed: string): string {
    const hasMac = sealed[MAC_LENGTH] === '.'
    if (!hasMac && !sealed.startsWith('.')) return 'it is damaged'
    if (this.#keys.length === 0)
      return 'it was sealed with a --cluster-secret, and this instance has none: start it with that of the others'
    if (!hasMac)
      return 'it has no MAC, and this instance has a --cluster-secret: give all instances the same one, or none'
    return 'it was sealed with another --cluster-secret, or is damaged: start this instance with the secret of the others'
  }

  /** Encrypts a text with the first secret. @param key under which it is stored @throws {Error} there is no secret */
  hide(key: string, text: string): string {
    const [first] = this.#keys
    if (first === undefined) throw new Error('there is no secret to encrypt with')
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, cipherKeyOf(first), nonce).setAAD(Buffer.from(key))
    const hidden = [nonce, cipher.update(text, 'utf8'), cipher.final()]
    return Buffer.concat([...hidden, cipher.getAuthTag()]).toString('base64url')
  }

  /** @returns the text, or null if it was not encrypted for this key with one of the secrets */
  reveal(key: string, hidden: string): string | null {
    const bytes = Buffer.from(hidden, 'base64url')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return null
    for (const own of this.#keys) {
      const decipher = createDecipheriv(CIPHER, cipherKeyOf(own), bytes.subarray(0, NONCE_BYTES))
      decipher.setAAD(Buffer.from(key)).setAuthTag(bytes.subarray(-TAG_BYTES))
      try {
        const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch {
        // Encrypted with another secret, or modified.
      }
    }
    return null
  }
}

/** A separate key: MAC keys are not used for encryption. */
function cipherKeyOf(own: Buffer): Buffer {
  return createHmac('sha256', own).update('banyan encryption').digest()
}

function macOf(secret: Buffer, key: string, text: string): Buffer {
  return createHmac('sha256', secret).update(`${key.length}:${key}`).update(text).digest()
}
