/**
 * Persists drained and leased servers across restarts, in a file beside the history that is replaced atomically.
 */

import { renameSync } from 'node:fs'
import { open, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { flawOfServerUrl } from '../../rules/patterns/origin.ts'
import { jsonOf } from '../../rules/values/json.ts'
import { checked, name, object } from '../../rules/values/schema-blocks.ts'
import { makeFolder } from '../../state/make-folder.ts'
import { FileError, readFileWithin, readFileWithinNow } from '../../state/read-file.ts'
import { serverId } from './server-body.ts'

const lease = object({
  id: serverId,
  url: checked(z.string(), flawOfServerUrl),
  weight: z.int().min(1).max(1000),
  ttlMs: z.int().min(1),
})
const known = object({ drained: z.array(z.string()), leased: z.array(lease) })
const kept = object({ version: z.literal(1), upstreams: z.record(name('name'), known) })

/** As the instances of a cluster share it: each change has a number, each renewal of a lease another one. */
const sharedLease = lease.extend({ renewed: z.number() })
const sharedKnown = object({ drained: z.array(z.string()), leased: z.array(sharedLease) })
const shared = object({
  version: z.literal(1),
  change: z.int().min(0),
  upstreams: z.record(name('name'), sharedKnown),
})

/** Drained and leased servers of a cluster. */
export type SharedServers = z.output<typeof shared>

/** @returns null for what this release has not written */
export function readShared(text: string): SharedServers | null {
  return shared.safeParse(jsonOf(text)).data ?? null
}

/** Enough for some 100,000 servers. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

/** By upstream name. */
export type KeptFleet = z.output<typeof kept>['upstreams']

/** The state file. Operations never fail because of it: `problem` says why it can't be written. */
export class FleetFile {
  readonly #path: string | null
  #last: Promise<void> = Promise.resolve()
  /** Why the server state would not survive a restart, or null. */
  problem: string | null = null

  /** @param folder of the file; null stores nothing */
  constructor(folder: string | null) {
    this.#path = folder === null ? null : join(folder, 'fleet.json')
  }

  /**
   * Reads the stored state; empty if there is no file. A damaged file is renamed.
   * @param onDamage called with a message of one line
   */
  load(onDamage: (message: string) => void): KeptFleet {
    if (this.#path === null) return {}
    let text: string
    try {
      text = readFileWithinNow(this.#path, MAX_FILE_BYTES).toString('utf8')
    } catch (error) {
      if (!(error instanceof FileError && error.flaw === 'missing'))
        onDamage(`${this.#path}: ${(error as Error).message}`)
      return {}
    }
    const read = kept.safeParse(jsonOf(text))
    if (read.success) return read.data.upstreams
    const aside = `${this.#path}.damaged`
    try {
      renameSync(this.#path, aside)
      onDamage(`${this.#path} is corrupt, moved to ${aside}: starting without drained and leased servers`)
    } catch (error) {
      onDamage(`${this.#path} is corrupt: starting without drained and leased servers (${(error as Error).message})`)
    }
    return {}
  }

  /** Reads the stored state as another instance has written it; null if it can't be read. Never throws. */
  async read(): Promise<KeptFleet | null> {
    if (this.#path === null) return null
    try {
      const text = (await readFileWithin(this.#path, MAX_FILE_BYTES)).toString('utf8')
      return kept.safeParse(jsonOf(text)).data?.upstreams ?? null
    } catch (error) {
      return error instanceof FileError && error.flaw === 'missing' ? {} : null
    }
  }

  /** What tells one state of the file from another. Never throws. */
  async identity(): Promise<string> {
    if (this.#path === null) return ''
    return stat(this.#path).then(
      ({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`,
      () => '',
    )
  }

  /** Replaces the stored state. Resolves when it has reached the disk, or `problem` says why not. */
  save(upstreams: KeptFleet): Promise<void> {
    const path = this.#path
    if (path === null) return Promise.resolve()
    const text = `${JSON.stringify({ version: 1, upstreams }, null, 2)}\n`
    this.#last = this.#last.then(async () => {
      try {
        await writeWhole(path, text)
        this.problem = null
      } catch (error) {
        this.problem = `drained and leased servers are not stored on disk: ${(error as Error).message}`
      }
    })
    return this.#last
  }
}

/** Writes a file at once: after a crash it has the old text or the new one. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await makeFolder(dirname(path))
  const temporary = `${path}.new`
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
  const folder = await open(dirname(path), 'r')
  // Some file systems can't sync a directory; the rename is atomic nevertheless.
  await folder.sync().catch(() => {})
  await folder.close()
}
