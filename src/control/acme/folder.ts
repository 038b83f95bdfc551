/**
 * The folder of what an authority has given: the account, a certificate with its key for each name, and what was tried when. Nobody but
 * the owner may read it, and each file is there as a whole or not at all.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, chmod, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FileError, readFileWithin } from '../../state/read-file.ts'
import { FolderLock } from '../../state/store/folder-lock.ts'
import type { AcmeAccount } from './order.ts'

const MAX_FILE_BYTES = 1024 * 1024

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

/** Files that are there and can't be used are told once. */
type OnDamage = (message: string) => void

/** The folder of one authority. */
export class AcmeFolder {
  readonly path: string
  readonly #onDamage: OnDamage
  #lock: FolderLock | null = null

  constructor(path: string, onDamage: OnDamage) {
    this.path = path
    this.#onDamage = onDamage
  }

  /** Whether this process is the one that orders. */
  get isOwner(): boolean {
    return this.#lock !== null
  }

  /**
   * Makes the folder, and takes it if no other process has it.
   * @throws {Error} it can't be made or locked
   */
  async take(): Promise<void> {
    if (this.#lock !== null) return
    await mkdir(this.path, { recursive: true, mode: 0o700 })
    this.#lock = FolderLock.take(join(this.path, 'lock'))
  }

  close(): void {
    this.#lock?.release()
    this.#lock = null
  }

  /** @throws {Error} nothing can be written */
  async checkWritable(): Promise<void> {
    await access(this.path, constants.W_OK)
  }

  /** The certificate of a name, the key behind it, as one PEM text; null for none. */
  async pair(name: string): Promise<string | null> {
    return (await this.#read(`${name}.pem`))?.toString('latin1') ?? null
  }

  async keepPair(name: string, pem: string): Promise<void> {
    await this.#write(`${name}.pem`, pem)
  }

  /** Moves a file aside that can't be used, for the operator to look at. */
  async setAside(name: string): Promise<void> {
    await rename(join(this.path, `${name}.pem`), join(this.path, `${name}.pem.damaged`)).catch(() => {})
  }

  /** The account at an authority, or null: that of another one is no use. */
  async account(directory: string): Promise<AcmeAccount | null> {
    const kept = this.#parsed('account.json', account, await this.#read('account.json'))
    return kept === null || kept.directory !== directory ? null : { key: kept.key, url: kept.url }
  }

  async keepAccount(directory: string, { key, url }: AcmeAccount): Promise<void> {
    await this.#write('account.json', json({ version: 1, directory, url, key }))
  }

  /** What was tried; nothing where that is not known. */
  async tried(): Promise<Tried> {
    const kept = this.#parsed('tried.json', tried, await this.#read('tried.json'))
    return kept ?? { names: {}, orderedAtMs: [] }
  }

  async keepTried(value: Tried): Promise<void> {
    await this.#write('tried.json', json({ version: 1, ...value }))
  }

  async #read(file: string): Promise<Buffer | null> {
    try {
      return await readFileWithin(join(this.path, file), MAX_FILE_BYTES)
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      if (error.flaw !== 'missing') this.#onDamage(`${join(this.path, file)}: ${error.message}`)
      return null
    }
  }

  #parsed<T>(file: string, schema: z.ZodType<T>, bytes: Buffer | null): T | null {
    if (bytes === null) return null
    try {
      return schema.parse(JSON.parse(bytes.toString('utf8')))
    } catch {
      this.#onDamage(`${join(this.path, file)} is damaged: it counts as none`)
      return null
    }
  }

  /** Replaces a file, which is on the disk then. */
  async #write(file: string, text: string): Promise<void> {
    const path = join(this.path, file)
    const own = `${path}.${randomBytes(4).toString('hex')}.tmp`
    try {
      const handle = await open(own, 'wx', 0o600)
      try {
        await handle.writeFile(text)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await chmod(own, 0o600)
      await rename(own, path)
    } catch (error) {
      await rm(own, { force: true }).catch(() => {})
      throw error
    }
  }
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
