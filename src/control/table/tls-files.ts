/**
 * The TLS files of a table: read and checked when the table is loaded, and again when they change.
 */
import { resolve } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Table, TlsSettings } from '../../rules/table/table.ts'
import type { Finding } from '../../rules/values/problem.ts'
import type { Flaw } from '../../rules/values/units.ts'
import { FileError, readFileWithin, readFileWithinNow } from '../../state/read-file.ts'
import {
  contextOf,
  flawOfAuthorities,
  flawOfPair,
  keysOf,
  NO_MATERIAL,
  partOf,
  type TlsMaterial,
  type TlsPart,
} from '../../state/tls/material.ts'
import { identityOf } from './settled-text.ts'

/** Maximum size of a file; a bundle of all public CAs has 220 KiB. */
const MAX_FILE_BYTES = 1024 * 1024
/** Maximum size of all files together: they are held in memory and sent to each worker. */
const MAX_TOTAL_BYTES = 16 * 1024 * 1024
/** Maximum number of reported problems: a table may have any number of files. */
const MAX_FINDINGS = 100

/** Polling interval. Files are read when two polls in a row have found the same change. */
const LOOK_MS = 300
/** Maximum share of time for polling: with many files it takes a while. */
const LOOK_SHARE = 0.1

/** Content of the files of a table. */
export interface LoadedTls {
  readonly material: TlsMaterial
  /** Problems that make the table invalid. */
  readonly findings: readonly Finding[]
  /** Problems of files whose earlier content is still used, a line each. */
  readonly stale: readonly string[]
}

/** Yields a path and gets its content or an error; yields null to let other work run. */
type Loading = Generator<string | null, LoadedTls, string | FileError>

/** Reads and watches the files of tables. */
export class TlsFiles {
  readonly #folder: string
  #poll: NodeJS.Timeout | undefined
  #closed = false
  /** State of the files at the last poll, and at the last read. */
  #seen = ''
  #read = ''

  /** @param folder for relative paths: the table's */
  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Reads and checks the files of a table.
   * @param known the active content, which is kept for files that have become unusable. If nothing has changed, the same
   *   object is returned
   */
  async load(table: Table, known: TlsMaterial): Promise<LoadedTls> {
    const loading = this.#loading(table, known)
    for (let step = loading.next(); ; ) {
      if (step.done === true) return step.value
      const content = step.value === null ? '' : await this.#content(step.value)
      // Reading many certificates takes milliseconds: yield in between.
      await turn()
      step = loading.next(content)
    }
  }

  /** Like `load`, synchronous and without known content, for startup. */
  loadNow(table: Table): LoadedTls {
    const loading = this.#loading(table, NO_MATERIAL)
    for (let step = loading.next(); ; ) {
      if (step.done === true) return step.value
      const path = step.value
      step = loading.next(path === null ? '' : orError(() => readFileWithinNow(this.#pathOf(path), MAX_FILE_BYTES)))
    }
  }

  /**
   * Watches the files by polling: events get lost on network file systems and when a folder is replaced.
   * Does not keep the process alive.
   * @param table returns the table whose files are watched
   * @param onChange must not reject; called again for the same change if it returns false
   */
  watch(table: () => Table, onChange: () => Promise<boolean>): void {
    const lookAfter = (pauseMs: number): void => {
      this.#poll = setTimeout(async () => {
        const begunMs = performance.now()
        await this.#look(table(), onChange)
        if (!this.#closed) lookAfter(Math.max(LOOK_MS, (performance.now() - begunMs) / LOOK_SHARE))
      }, pauseMs).unref()
    }
    lookAfter(LOOK_MS)
  }

  /** Stops watching. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#poll)
  }

  async #look(table: Table, onChange: () => Promise<boolean>): Promise<void> {
    const paths = new Set(partsOf(table).flatMap(({ tls, names }) => names.map((name) => tls[name] as string)))
    const identities: string[] = []
    for (const path of paths) identities.push(`${path} ${await identityOf(this.#pathOf(path))}`)
    const now = identities.join('\n')
    const stands = now === this.#seen
    this.#seen = now
    if (!stands || now === this.#read || this.#closed) return
    this.#read = now
    if (!(await onChange())) this.#read = ''
  }

  *#loading(table: Table, known: TlsMaterial): Loading {
    const material: Record<string, TlsPart> = {}
    const findings: Finding[] = []
    const stale: string[] = []
    const seen = new Set<string>()
    let bytes = 0
    for (const { upstream, tls, key, names } of partsOf(table)) {
      if (seen.has(key)) continue
      seen.add(key)
      const read = bytes > MAX_TOTAL_BYTES ? { name: names[0], ...TOO_MUCH } : yield* reading(tls, names, known[key])
      const before = known[key]
      if ('pems' in read) {
        material[key] = read
        for (const { length } of read.pems) bytes += length
        continue
      }
      const { name, message, hint } = read
      const told = `${this.#pathOf(tls[name] as string)}: ${message}`
      if (before !== undefined) {
        material[key] = before
        stale.push(told)
      } else if (findings.length < MAX_FINDINGS) {
        findings.push({ path: ['upstreams', upstream, 'tls', name], message: told, hint, severity: 'error' })
      } else break
    }
    if (findings.length > 0) return { material: known, findings, stale }
    const loaded = isSame(material, known) ? known : material
    for (const { name, tls } of table.upstreams.values()) {
      if (!needsContext(tls)) continue
      yield null
      const flaw = flawOfContext(tls, loaded)
      if (flaw === null) continue
      const { key, message } = flaw
      findings.push({ path: ['upstreams', name, 'tls', ...(key === null ? [] : [key])], message, severity: 'error' })
    }
    return { material: loaded, findings, stale }
  }

  async #content(path: string): Promise<string | FileError> {
    const read = await readFileWithin(this.#pathOf(path), MAX_FILE_BYTES).catch((error: unknown) => error)
    return orError(() => {
      if (Buffer.isBuffer(read)) return read
      throw read
    })
  }

  #pathOf(path: string): string {
    return resolve(this.#folder, path)
  }
}

/** Problems of the TLS files of a table that is not active. */
export async function findTlsFlaws(table: Table, folder: string): Promise<readonly Finding[]> {
  return (await new TlsFiles(folder).load(table, NO_MATERIAL)).findings
}

const TOO_MUCH: Flaw = { message: `the TLS files exceed ${MAX_TOTAL_BYTES / 1024 / 1024} MiB in total` }

/** PEM is ASCII; other bytes in a file do not matter. */
function orError(read: () => Buffer): string | FileError {
  try {
    return read().toString('latin1')
  } catch (error) {
    if (error instanceof FileError) return error
    throw error
  }
}

type FileName = 'ca' | 'cert' | 'key'

/** Files of an upstream that belong together. */
interface NamedPart {
  readonly upstream: string
  readonly tls: TlsSettings
  /** Their key in the material. */
  readonly key: string
  /** The settings with their paths. */
  readonly names: readonly [FileName, ...FileName[]]
}

function partsOf(table: Table): NamedPart[] {
  return [...table.upstreams.values()].flatMap(({ name: upstream, tls }) => {
    const { ca, pair } = keysOf(tls)
    const parts: NamedPart[] = []
    if (ca !== null) parts.push({ upstream, tls, key: ca, names: ['ca'] })
    if (pair !== null) parts.push({ upstream, tls, key: pair, names: ['cert', 'key'] })
    return parts
  })
}

interface PartFlaw extends Flaw {
  readonly name: FileName
}

/** @param known earlier content of these files */
function* reading(
  tls: TlsSettings,
  names: readonly FileName[],
  known: TlsPart | undefined,
): Generator<string, TlsPart | PartFlaw, string | FileError> {
  const contents: string[] = []
  for (const name of names) {
    const content = yield tls[name] as string
    if (typeof content !== 'string') return { name, message: content.message }
    contents.push(content)
  }
  const part = partOf(contents)
  return known?.digest === part.digest ? known : (flawOf(contents) ?? part)
}

/** @param contents of `ca`, or of `cert` and `key` */
function flawOf([first = '', key]: readonly string[]): PartFlaw | null {
  if (key === undefined) {
    const flaw = flawOfAuthorities(first)
    return flaw === null ? null : { ...flaw, name: 'ca' }
  }
  const flaw = flawOfPair(first, key)
  return flaw === null ? null : { ...flaw, name: flaw.at }
}

/** Whether the settings differ from those of Node.js, which need no proof. */
function needsContext({ ca, cert, minVersion, maxVersion, ciphers }: TlsSettings): boolean {
  return [ca, cert, minVersion, maxVersion, ciphers].some((said) => said !== null)
}

/** What node:tls has against settings, and the key that it is about, or null for all of them. */
function flawOfContext(
  tls: TlsSettings,
  material: TlsMaterial,
): { readonly key: 'ciphers' | null; readonly message: string } | null {
  try {
    contextOf(tls, material)
    return null
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string }
    const isOfCiphers = /cipher/i.test(reason ?? message) && tls.ciphers !== null
    if (isOfCiphers) return { key: 'ciphers', message: `invalid ciphers ${JSON.stringify(tls.ciphers)}` }
    return { key: null, message: `invalid TLS files: ${reason ?? message}` }
  }
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}
