/**
 * What an authority has given, as it is kept: the account, a certificate with its key for each name, and what was tried when. Files that
 * are there and can't be used count as none, and are told.
 */
import { z } from 'zod'
import type { AcmeFiles } from './files.ts'
import type { AcmeAccount } from './order.ts'

/** What was tried for a name. Times in epoch milliseconds. */
const attempts = z.object({
  /** In a row. */
  failures: z.int().min(0).max(1_000_000),
  /** The last one has begun. */
  atMs: z.number(),
  nextAtMs: z.number(),
  /** Why the last one failed; null while it is under way, and behind one that has not. */
  error: z.string().nullable(),
  /** The way in which the name was shown to be ours last. */
  challenge: z.enum(['http-01', 'tls-alpn-01']).nullable(),
})

const tried = z.object({
  version: z.literal(1),
  names: z.record(z.string(), attempts),
  /** When orders were made, of all names. */
  orderedAtMs: z.array(z.number()).max(10_000),
})

const account = z.object({
  version: z.literal(1),
  directory: z.string(),
  url: z.string().nullable(),
  key: z.string().includes('PRIVATE KEY'),
})

/** What was tried for a name. */
export type Attempts = z.output<typeof attempts>

/** What was tried for all of them. */
export type Tried = Omit<z.output<typeof tried>, 'version'>

/** What is kept of one authority. */
export class AcmeKept {
  readonly #files: AcmeFiles
  readonly #onDamage: (message: string) => void

  constructor(files: AcmeFiles, onDamage: (message: string) => void) {
    this.#files = files
    this.#onDamage = onDamage
  }

  /** The certificate of a name, the key behind it, as one PEM text; null for none. */
  async pair(name: string): Promise<string | null> {
    return (await this.#files.read(pairFile(name)))?.toString('latin1') ?? null
  }

  async keepPair(name: string, pem: string): Promise<void> {
    await this.#files.write(pairFile(name), pem)
  }

  /** Moves a certificate aside that can't be used, for the operator to look at. */
  async setAside(name: string): Promise<void> {
    await this.#files.setAside(pairFile(name))
  }

  /** The account at an authority, or null: that of another one is no use. */
  async account(directory: string): Promise<AcmeAccount | null> {
    const kept = this.#parsed('account.json', account, await this.#files.read('account.json'))
    return kept === null || kept.directory !== directory ? null : { key: kept.key, url: kept.url }
  }

  async keepAccount(directory: string, { key, url }: AcmeAccount): Promise<void> {
    await this.#files.write('account.json', json({ version: 1, directory, url, key }))
  }

  /** What was tried; nothing where that is not known. */
  async tried(): Promise<Tried> {
    const kept = this.#parsed('tried.json', tried, await this.#files.read('tried.json'))
    return kept ?? { names: {}, orderedAtMs: [] }
  }

  async keepTried(value: Tried): Promise<void> {
    await this.#files.write('tried.json', json({ version: 1, ...value }))
  }

  #parsed<T>(file: string, schema: z.ZodType<T>, bytes: Buffer | null): T | null {
    if (bytes === null) return null
    try {
      return schema.parse(JSON.parse(bytes.toString('utf8')))
    } catch {
      this.#onDamage(`${this.#files.name}/${file} is damaged: it counts as none`)
      return null
    }
  }
}

function pairFile(name: string): string {
  return `${name}.pem`
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
