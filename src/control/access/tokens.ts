/**
 * The bearer tokens of the admin API: named, with a scope, from the settings or from a file that is reloaded when it
 * changes; and the back-off after wrong tokens.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { statSync } from 'node:fs'
import { readFileWithinNow } from '../../state/read-file.ts'

/** What a token may do; `write` may read too. */
export type TokenScope = 'read' | 'write'

/** A bearer token, known by its hash only. */
export interface AdminToken {
  /** Whose it is, for the audit line. */
  readonly name: string
  readonly scope: TokenScope
  /** SHA-256 of the secret. */
  readonly hash: Buffer
}

/** Prepares a token. The secret itself is not kept. */
export function tokenOf(name: string, secret: string, scope: TokenScope = 'write'): AdminToken {
  return Object.freeze({ name, scope, hash: hashOf(secret) })
}

/** A token per line: `NAME SCOPE SECRET`, or `NAME:SCOPE:SECRET`; empty lines and those that begin with # are skipped. */
const LINE = /^([A-Za-z0-9._@-]+)[\s:]+(read|write)[\s:]+([\x21-\x7e]+)$/

/** Shorter secrets are guessed. */
const MIN_SECRET_LENGTH = 16

/** Why nobody could send a secret, or anybody could guess it; null for a good one. It never repeats the secret. */
export function flawOfSecret(secret: string): string | null {
  if (!/^[\x21-\x7e]*$/.test(secret)) return 'must not contain spaces, control characters or non-ASCII characters'
  return secret.length < MIN_SECRET_LENGTH ? `must have at least ${MIN_SECRET_LENGTH} characters` : null
}

/**
 * Reads tokens.
 * @throws {Error} a line that is none, by its number; never with what it says
 */
export function readTokens(text: string): AdminToken[] {
  return text.split(/\r?\n/).flatMap((line, at) => {
    if (line.trim() === '' || line.trim().startsWith('#')) return []
    const [, name, scope, secret] = LINE.exec(line.trim()) ?? []
    if (secret === undefined) throw new Error(`line ${at + 1}: expected NAME read|write SECRET`)
    const flaw = flawOfSecret(secret)
    if (flaw !== null) throw new Error(`line ${at + 1}: the secret ${flaw}`)
    return [tokenOf(name as string, secret, scope as TokenScope)]
  })
}

/**
 * Tokens that may be used side by side.
 * @throws {Error} two of them have one secret: whose request it is could not be told
 */
function distinct(tokens: readonly AdminToken[]): readonly AdminToken[] {
  const names = new Map<string, string>()
  for (const { name, hash } of tokens) {
    const key = hash.toString('hex')
    const other = names.get(key)
    if (other !== undefined) throw new Error(`the tokens ${other} and ${name} have the same secret`)
    names.set(key, name)
  }
  return tokens
}

/** The file is looked at again after this long. */
const FILE_LOOK_MS = 1000

const MAX_FILE_BYTES = 1024 * 1024

/** All tokens that are good now. */
export class TokenBook {
  readonly #fixed: readonly AdminToken[]
  readonly #file: string | null
  readonly #onFault: (message: string) => void
  #fromFile: readonly AdminToken[] = []
  #identity = ''
  #lookedMs = Number.NEGATIVE_INFINITY

  /**
   * @param onFault told when the file has become unusable while the process runs: then the last good tokens stay
   * @throws {Error} the file can't be read, or holds no token; two tokens have one secret
   */
  constructor(fixed: readonly AdminToken[], file: string | null = null, onFault: (message: string) => void = () => {}) {
    this.#fixed = distinct(fixed)
    this.#file = file
    this.#onFault = onFault
    if (file === null) return
    this.#identity = identityOf(file)
    this.#fromFile = this.#tokensIn(file)
  }

  /** The tokens. Empty: nobody is asked for one. */
  current(nowMs: number): readonly AdminToken[] {
    if (this.#file !== null && nowMs - this.#lookedMs >= FILE_LOOK_MS) {
      this.#lookedMs = nowMs
      this.#lookAgain(this.#file)
    }
    return [...this.#fixed, ...this.#fromFile]
  }

  #lookAgain(file: string): void {
    const identity = identityOf(file)
    if (identity === this.#identity) return
    this.#identity = identity
    try {
      this.#fromFile = this.#tokensIn(file)
    } catch (error) {
      this.#onFault(`keeping the previous tokens: ${(error as Error).message}`)
    }
  }

  /** @throws {Error} with the name of the file */
  #tokensIn(file: string): readonly AdminToken[] {
    try {
      const tokens = readTokens(String(readFileWithinNow(file, MAX_FILE_BYTES)))
      // An emptied file must not open the API to everybody.
      if (tokens.length === 0) throw new Error('contains no token')
      distinct([...this.#fixed, ...tokens])
      return tokens
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`)
    }
  }
}

function identityOf(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file)
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`
  } catch (error) {
    return `error:${(error as NodeJS.ErrnoException).code}`
  }
}

/** Compares hashes of one length with every token, so that the time taken says nothing about any of them. */
export function findToken(secret: string, tokens: readonly AdminToken[]): AdminToken | null {
  const hash = hashOf(secret)
  let found: AdminToken | null = null
  for (const token of tokens) if (timingSafeEqual(hash, token.hash)) found = token
  return found
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** So many wrong tokens are a slip; each one more doubles the wait. */
const FREE_ATTEMPTS = 5
const MAX_WAIT_MS = 60_000
/** After this long without a wrong token from an address, its earlier ones no longer count. */
const FORGET_MS = 3_600_000
/** Addresses that are remembered; those that were silent longest are forgotten first. */
const MAX_ADDRESSES = 10_000

/** Back-off by address: wrong tokens are answered later and later. An address that has been quiet for an hour begins anew. */
export class Backoff {
  readonly #failures = new Map<string, { count: number; untilMs: number }>()

  /** Milliseconds until this address may try again; 0 at once. */
  waitMs(address: string, nowMs: number): number {
    return Math.max(0, (this.#failures.get(address)?.untilMs ?? 0) - nowMs)
  }

  failed(address: string, nowMs: number): void {
    const before = this.#failures.get(address)
    const count = before === undefined || nowMs - before.untilMs > FORGET_MS ? 1 : before.count + 1
    const waitMs = count < FREE_ATTEMPTS ? 0 : Math.min(MAX_WAIT_MS, 1000 * 2 ** (count - FREE_ATTEMPTS))
    // Set anew, so that the map's order is that of the last failure.
    this.#failures.delete(address)
    this.#failures.set(address, { count, untilMs: nowMs + waitMs })
    if (this.#failures.size <= MAX_ADDRESSES) return
    for (const oldest of this.#failures.keys()) {
      this.#failures.delete(oldest)
      return
    }
  }
}
