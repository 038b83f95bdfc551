/**
 * The contents of the stored files: the account, a certificate with its key for each name, and a record of attempts. Files that can't be
 * used are ignored and reported.
 */
import { z } from 'zod'
import type { AcmeFiles } from './files.ts'
import type { AcmeAccount } from './order.ts'

/** The attempts for a name. Times in epoch milliseconds. */
const attempts = z.object({
  /** Consecutive failures. */
  failures: z.int().min(0).max(1_000_000),
  /** When the last attempt began. */
  atMs: z.number(),
  nextAtMs: z.number(),
  /** Why the last attempt failed; null while one is running, and after a success. */
  error: z.string().nullable(),
  /** The challenge type to try first. */
  challenge: z.enum(['http-01', 'tls-alpn-01']).nullable(),
})

const tried = z.object({
  version: z.literal(1),
  names: z.record(z.string(), attempts),
  /** When orders were made, for all names. */
  orderedAtMs: z.array(z.number()).max(10_000),
})

const account = z.object({
  version: z.literal(1),
  directory: z.string(),
  url: z.string().nullable(),
  key: z.string().includes('PRIVATE KEY'),
})

/** The attempts for a name. */
export type Attempts = z.output<typeof attempts>

/** The attempts for all names. */
export type Tried = Omit<z.output<typeof tried>, 'version'>

/** The stored files of one authority. */
export class AcmeKept {
  readonly #files: AcmeFiles
  readonly #onDamage: (message: string) => void

  constructor(files: AcmeFiles, onDamage: (message: string) => void) {
    this.#files = files
    this.#onDamage = onDamage
  }

  /** The certificate of a name followed by its key, as one PEM text; null for none. */
  async pair(name: string): Promise<string | null> {
    return (await this.#files.read(pairFile(name)))?.toString('latin1') ?? null
  }

  async keepPair(name: string, pem: string): Promise<void> {
    await this.#files.write(pairFile(name), pem)
  }

  /** Renames the file of a certificate that can't be used, for the operator to inspect. */
  async setAside(name: string): Promise<void> {
    await this.#files.setAside(pairFile(name))
  }

  /** The account at an authority; null for none, or one at another authority. */
  async account(directory: string): Promise<AcmeAccount | null> {
    const kept = this.#parsed('account.json', account, await this.#files.read('account.json'))
    return kept === null || kept.directory !== directory ? null : { key: kept.key, url: kept.url }
  }

  async keepAccount(directory: string, { key, url }: AcmeAccount): Promise<void> {
    await this.#files.write('account.json', json({ version: 1, directory, url, key }))
  }

  /** The recorded attempts; empty if unknown. */
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
      this.#onDamage(`${this.#files.name}/${file} is damaged: it is ignored`)
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
