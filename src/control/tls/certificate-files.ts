/**
 * Certificates from files and folders, loaded at the start and reloaded when they change. If a new file can't be used, the old certificate stays.
 */
import { createPublicKey, X509Certificate } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Flaw } from '../../rules/values/units.ts'
import { FileError, readFileWithin } from '../../state/read-file.ts'
import {
  certificatesIn,
  flawOfAuthorities,
  flawOfCertificates,
  flawOfKey,
  misplaced,
  privateKeyIn,
  verifiesOnlyItself,
} from '../../state/tls/material.ts'
import { serverPairOf } from '../../state/tls/server-pair.ts'
import type { ServerPair } from '../../state/tls/server-tls.ts'
import type { ControlLog } from '../control-log.ts'
import { identityOf } from '../table/settled-text.ts'
import type { CertificateSource } from './certificates.ts'

/** Maximum size of a file, and of all of them: they are held in memory and sent to each worker. */
const MAX_FILE_BYTES = 1024 * 1024
const MAX_TOTAL_BYTES = 16 * 1024 * 1024

/** Maximum number of files in a folder. */
const MAX_FILES = 10_000

/** How often files are checked. A changed file is read once two checks in a row have found it the same. */
const LOOK_MS = 500
/** Maximum share of time spent on checks, for large numbers of files. */
const LOOK_SHARE = 0.1

/** Files in a folder that are certificates or keys, by their names. */
const NAMED = /\.(?:pem|crt|cer|key)$/i

/** The files as the operator names them. */
export interface CertificatePaths {
  /** Files or folders of certificates. */
  readonly certs: readonly string[]
  /** Keys for the files in `certs`, in the same order; a certificate file beyond the end of the list contains its key. */
  readonly keys: readonly string[]
  /** Authorities of client certificates; null for none. */
  readonly clientCa: string | null
}

/** A file can't be used. The message names it. */
export class CertificateError extends Error {}

/** A file. */
interface NamedText {
  readonly path: string
  readonly text: string
}

/** The result of reading: pairs by label, and problems by path. */
interface Read {
  readonly pairs: Map<string, ServerPair>
  readonly flaws: Map<string, string>
  clientCa: string | null
}

/** Certificates from files. */
export class CertificateFiles implements CertificateSource {
  readonly #paths: CertificatePaths
  readonly #log: ControlLog
  readonly #now: () => number
  #pairs = new Map<string, ServerPair>()
  #clientCa: string | null = null
  #problems: readonly string[] = []
  #poll: NodeJS.Timeout | undefined
  #closed = false
  #seen = ''
  #read = ''
  /** When a certificate that is not valid yet becomes valid; epoch milliseconds. */
  #beginsMs = Number.POSITIVE_INFINITY

  /** @param now epoch milliseconds */
  constructor(paths: CertificatePaths, log: ControlLog, now: () => number) {
    this.#paths = paths
    this.#log = log
    this.#now = now
  }

  get pairs(): readonly ServerPair[] {
    return [...this.#pairs.values()]
  }

  get clientCa(): string | null {
    return this.#clientCa
  }

  get problems(): readonly string[] {
    return this.#problems
  }

  /**
   * Reads all of them for the first time.
   * @throws {CertificateError} if one of them can't be used
   */
  async load(): Promise<void> {
    this.#read = await this.#identities()
    const read = await this.#readAll()
    const [flaw] = read.flaws.values()
    if (flaw !== undefined) throw new CertificateError(flaw)
    this.#pairs = read.pairs
    this.#takeClientCa(read.clientCa)
  }

  /**
   * Reads them again when they change, by polling: events get lost on network file systems and when a folder is replaced. Does not keep
   * the process alive.
   */
  watch(onChange: () => Promise<void> | void): void {
    const lookAfter = (pauseMs: number): void => {
      this.#poll = setTimeout(async () => {
        const begunMs = performance.now()
        await this.#look(onChange).catch((error: Error) => this.#log.error({ event: 'certificate' }, error.message))
        if (!this.#closed) lookAfter(Math.max(LOOK_MS, (performance.now() - begunMs) / LOOK_SHARE))
      }, pauseMs).unref()
    }
    lookAfter(LOOK_MS)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#poll)
  }

  async #look(onChange: () => Promise<void> | void): Promise<void> {
    const now = await this.#identities()
    const stands = now === this.#seen
    this.#seen = now
    const isNew = now !== this.#read || this.#now() >= this.#beginsMs
    if (!stands || !isNew || this.#closed) return
    this.#read = now
    const read = await this.#readAll()
    // The files changed while they were read: old and new ones may be mixed.
    if ((await this.#identities()) !== now) {
      this.#read = ''
      return
    }
    if (this.#takeIn(read)) await onChange()
  }

  /** @returns whether what is in use has changed */
  #takeIn({ pairs, flaws, clientCa }: Read): boolean {
    const nowMs = this.#now()
    const used = new Map(pairs)
    const names = new Set([...pairs.values()].flatMap((pair) => pair.names))
    this.#beginsMs = Number.POSITIVE_INFINITY
    for (const [label, before] of this.#pairs) {
      const next = pairs.get(label)
      const flaw = next === undefined ? null : flawOfLife(next, nowMs)
      const isKept = next === undefined ? isMissed(before, names) : flaw !== null && flawOfLife(before, nowMs) === null
      if (!isKept) continue
      used.set(label, before)
      if (next !== undefined) {
        flaws.set(label, `${label}: ${flaw}`)
        if (next.notBeforeMs > nowMs) this.#beginsMs = Math.min(this.#beginsMs, next.notBeforeMs)
      } else if (!flaws.has(label)) flaws.set(label, `${label}: was removed`)
    }
    const problems = [...flaws.values()]
    const known = new Set(this.#problems)
    for (const problem of problems.filter((one) => !known.has(one))) {
      this.#log.error({ event: 'certificate', problem }, `${problem}; the previous certificate stays in use`)
    }
    this.#problems = problems
    const before = this.#state()
    // In the order of the settings: the first one serves clients without SNI.
    this.#pairs = new Map([...used].sort(([a], [b]) => this.#rank(a) - this.#rank(b)))
    this.#takeClientCa(clientCa)
    if (this.#state() === before) return false
    const count = this.#pairs.size
    this.#log.info({ event: 'certificate', certificates: count }, `certificates reloaded: ${count} in use`)
    return true
  }

  /** @param text null keeps the current one */
  #takeClientCa(text: string | null): void {
    if (text === null || text === this.#clientCa) return
    this.#clientCa = text
    if (!verifiesOnlyItself(text)) return
    const told = `${this.#paths.clientCa} contains no certificate of an authority (CA:TRUE): only clients with a certificate that is in it are accepted`
    this.#log.warn({ event: 'certificate' }, told)
  }

  #rank(label: string): number {
    const { certs } = this.#paths
    const at = certs.findIndex((path) => label === path || label.startsWith(join(path, '/')))
    return at === -1 ? certs.length : at
  }

  #state(): string {
    return JSON.stringify([[...this.#pairs.values()].map(({ digest }) => digest), this.#clientCa])
  }

  async #readAll(): Promise<Read> {
    const { certs, keys, clientCa } = this.#paths
    const read: Read = { pairs: new Map(), flaws: new Map(), clientCa: null }
    const reader = new BoundedReader()
    const ownKeys = [...keys]
    for (const path of certs) {
      if (await isFolder(path)) await readFolder(path, reader, read)
      else await readPair(path, ownKeys.shift() ?? path, reader, read)
    }
    if (ownKeys.length > 0) {
      read.flaws.set(ownKeys[0] as string, `${ownKeys[0]}: there are more keys than files of certificates`)
    }
    if (clientCa !== null) {
      const text = await reader.text(clientCa)
      const flaw = text instanceof CertificateError ? text.message : hinted(flawOfAuthorities(text))
      if (flaw === null) read.clientCa = text as string
      else read.flaws.set(clientCa, `${clientCa}: ${flaw}`)
    }
    return read
  }

  async #identities(): Promise<string> {
    const { certs, keys, clientCa } = this.#paths
    const files: string[] = [...keys, ...(clientCa === null ? [] : [clientCa])]
    for (const path of certs) files.push(...((await isFolder(path)) ? await filesIn(path).catch(() => [path]) : [path]))
    const identities: string[] = []
    for (const file of files) identities.push(`${file} ${await identityOf(file)}`)
    return identities.join('\n')
  }
}

/** Reads files up to a total. */
class BoundedReader {
  #left = MAX_TOTAL_BYTES

  /** @returns the error instead, whose message omits the path */
  async text(path: string): Promise<string | CertificateError> {
    try {
      const bytes = await readFileWithin(path, Math.min(MAX_FILE_BYTES, this.#left))
      this.#left -= bytes.length
      return bytes.toString('latin1')
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      const isTotal = error.flaw === 'too-large' && this.#left < MAX_FILE_BYTES
      return new CertificateError(
        isTotal ? `all certificates together exceed ${MAX_TOTAL_BYTES / 1024 / 1024} MiB` : error.message,
      )
    }
  }
}

async function readPair(path: string, keyPath: string, reader: BoundedReader, read: Read): Promise<void> {
  const cert = await reader.text(path)
  const key = keyPath === path ? cert : await reader.text(keyPath)
  if (cert instanceof CertificateError) read.flaws.set(path, `${path}: ${cert.message}`)
  else if (key instanceof CertificateError) read.flaws.set(path, `${keyPath}: ${key.message}`)
  else {
    const pair = serverPairOf(cert, key, path)
    if ('digest' in pair) read.pairs.set(path, pair)
    else if (pair.at === 'key' && keyPath === path && flawOfKey(cert)?.hint === undefined) {
      read.flaws.set(path, `${path}: ${pair.message} (name the file that holds its key, too)`)
    } else read.flaws.set(path, `${pair.at === 'cert' ? path : keyPath}: ${withHint(pair)}`)
  }
}

/** Reads a folder and its subfolders. Certificates and keys are matched by content, regardless of file names. */
async function readFolder(folder: string, reader: BoundedReader, read: Read): Promise<void> {
  let paths: string[]
  try {
    paths = await filesIn(folder)
  } catch (error) {
    read.flaws.set(folder, `${folder}: ${(error as Error).message}`)
    return
  }
  const before = read.pairs.size + read.flaws.size
  const keys = new Map<string, NamedText>()
  const unreadable: string[] = []
  // By fingerprint: certbot writes the same certificate with and without its chain, and the longer text is used.
  const certs = new Map<string, NamedText & { readonly certificate: X509Certificate }>()
  for (const path of paths) {
    const text = await reader.text(path)
    // Each key or certificate takes a fraction of a millisecond.
    await turn()
    if (text instanceof CertificateError) {
      read.flaws.set(path, `${path}: ${text.message}`)
      continue
    }
    if (text.includes('PRIVATE KEY-----')) {
      const flaw = flawOfKey(text)
      if (flaw === null) keys.set(spkiOf(createPublicKey(privateKeyIn(text))), { path, text })
      else unreadable.push(`${path}: ${withHint(flaw)}`)
    }
    if (!text.includes('CERTIFICATE-----')) continue
    const flaw = hinted(flawOfCertificates(text))
    if (flaw !== null) {
      read.flaws.set(path, `${path}: ${flaw}`)
      continue
    }
    const certificate = new X509Certificate(text)
    const { fingerprint256: name } = certificate
    if (text.length > (certs.get(name)?.text.length ?? 0)) certs.set(name, { path, text, certificate })
  }
  for (const { path, text, certificate } of certs.values()) {
    await turn()
    const key = keys.get(spkiOf(certificate.publicKey))
    if (key === undefined) {
      const flaw = flawWithoutKey(text, keys)
      if (flaw !== null) read.flaws.set(path, `${path}: ${flaw}`)
      else if (!certificate.ca) {
        const [why] = unreadable
        read.flaws.set(path, `${path}: no file in ${folder} holds its key${why === undefined ? '' : `; ${why}`}`)
      }
      continue
    }
    const pair = serverPairOf(text, key.text, path)
    if ('digest' in pair) read.pairs.set(path, pair)
    else read.flaws.set(path, `${pair.at === 'cert' ? path : key.path}: ${withHint(pair)}`)
  }
  if (certs.size === 0) read.flaws.set(folder, `${folder}: contains no certificate (*.pem, *.crt, *.cer)`)
  else if (read.pairs.size + read.flaws.size === before) {
    read.flaws.set(folder, `${folder}: contains certificates of authorities only, none with its key`)
  }
}

/** The files of a folder and its subfolders that may be certificates or keys, in order. Hidden files are ignored. */
async function filesIn(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of (await readdir(folder)).sort()) {
    if (name.startsWith('.')) continue
    const path = join(folder, name)
    if (NAMED.test(name)) found.push(path)
    else if (await isFolder(path)) {
      const inner = (await readdir(path)).sort().filter((one) => NAMED.test(one) && !one.startsWith('.'))
      found.push(...inner.map((one) => join(path, one)))
    }
    if (found.length > MAX_FILES) throw new CertificateError(`contains more than ${MAX_FILES} files`)
  }
  return found
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

/** Why a file whose first certificate has no key is wrong: a later certificate in it has one. Null if none has. */
function flawWithoutKey(text: string, keys: ReadonlyMap<string, NamedText>): string | null {
  const index = certificatesIn(text).findIndex(({ ca, publicKey }) => !ca && keys.has(spkiOf(publicKey)))
  return index > 0 ? withHint(misplaced(index)) : null
}

function spkiOf(key: ReturnType<typeof createPublicKey>): string {
  return key.export({ type: 'spki', format: 'der' }).toString('base64')
}

function hinted(flaw: Flaw | null): string | null {
  return flaw === null ? null : withHint(flaw)
}

function withHint({ message, hint }: Flaw): string {
  return hint === undefined ? message : `${message} (${hint})`
}

/** Whether a removed certificate has a name that no other certificate has. */
function isMissed({ names }: ServerPair, others: ReadonlySet<string>): boolean {
  return names.length === 0 || names.some((name) => !others.has(name))
}

/** Why clients would not accept a certificate now; null if they would. */
function flawOfLife({ notBeforeMs, notAfterMs }: ServerPair, nowMs: number): string | null {
  if (notAfterMs <= nowMs) return 'has expired'
  return notBeforeMs > nowMs ? `is not valid before ${new Date(notBeforeMs).toISOString()}` : null
}
