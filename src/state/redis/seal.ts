/**
 * Seals what instances of a cluster store in Redis: with a secret, whoever can write to Redis but does not know it can't make a
 * record that an instance believes, nor put one under another key.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

const MAC_LENGTH = 64

/** Makes and checks seals. A sealed text is the MAC in hex, nothing without a secret, a dot, and the text. */
export class Seal {
  readonly #keys: readonly Buffer[]

  /**
   * @param cluster a record of one cluster is none of another one
   * @param secrets the first makes seals, all of them check; none: records carry no MAC
   */
  constructor(cluster: string, secrets: readonly string[]) {
    this.#keys = secrets.map((secret) => createHmac('sha256', secret).update(`banyan cluster ${cluster}`).digest())
  }

  /** @param key what the text is stored under */
  close(key: string, text: string): string {
    const [first] = this.#keys
    return `${first === undefined ? '' : macOf(first, key, text).toString('hex')}.${text}`
  }

  /** @returns the text, or null where it is not sealed for this key by one of the secrets */
  open(key: string, sealed: string): string | null {
    if (this.#keys.length === 0) return sealed.startsWith('.') ? sealed.slice(1) : null
    if (sealed[MAC_LENGTH] !== '.') return null
    const mac = Buffer.from(sealed.slice(0, MAC_LENGTH), 'hex')
    const text = sealed.slice(MAC_LENGTH + 1)
    const isGood = this.#keys.some((own) => mac.length === 32 && timingSafeEqual(mac, macOf(own, key, text)))
    return isGood ? text : null
  }
}

function macOf(secret: Buffer, key: string, text: string): Buffer {
  return createHmac('sha256', secret).update(`${key.length}:${key}`).update(text).digest()
}
