/**
 * Reads a file that may be being written: the text is accepted once the file has stopped changing.
 */
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EncodingError, utf8Text } from '../../rules/values/utf8.ts'
import { FileError, type FileFlaw, readFileWithin } from '../../state/read-file.ts'
import type { RevisionRecord } from './revision-record.ts'

/** Larger than any real table, and small enough to hold in memory twice. */
export const MAX_FILE_BYTES = 16 * 1024 * 1024

/**
 * Why there is no text: no usable file, or
 *
 * - `no-text`: not valid UTF-8
 * - `unsettled`: it kept changing
 */
export type ReadFlaw = FileFlaw | 'no-text' | 'unsettled'

/** Result of reading the file: its text, byte order mark included, or why there is none. */
export type Reading =
  | {
      readonly ok: true
      readonly text: string
      readonly identity: string
      /** The revision that it is, where another instance has made it. */
      readonly made?: RevisionRecord
    }
  | { readonly ok: false; readonly flaw: ReadFlaw; readonly message: string; readonly identity: string }

/** How long a file must be unchanged, in milliseconds. */
export interface Patience {
  /** For a text that looks complete. */
  readonly quietMs: number
  /** For what looks like the middle of an edit: a missing or empty file, or no line break at the end. */
  readonly suspiciousMs: number
  /** Total time until `unsettled`. */
  readonly limitMs: number
}

/**
 * Identifies a state of a file: device, inode, size, modification and change time in nanoseconds. The change time is needed for
 * tools that copy the modification time (`cp -p`, `rsync -t`). Follows symbolic links. Never throws: an error is a state too.
 */
export async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    return `error:${(error as NodeJS.ErrnoException).code}`
  }
}

/** Reads the file as it is now, perhaps in the middle of an edit. Never throws. */
export async function readNow(path: string): Promise<Reading> {
  const identity = await identityOf(path)
  const flaw = (kind: ReadFlaw, message: string): Reading => ({ ok: false, flaw: kind, message, identity })
  try {
    return { ok: true, text: utf8Text(await readFileWithin(path, MAX_FILE_BYTES)), identity }
  } catch (error) {
    if (error instanceof FileError) return flaw(error.flaw, error.message)
    return flaw('no-text', `is ${(error as EncodingError).message}`)
  }
}

/**
 * Reads the file once it has stopped changing.
 *
 * An incomplete text can only be recognized by further changes, so the file's identity must stay the same for a while, and must
 * still be the same after reading.
 * @throws {AbortError} when `signal` fires
 */
export async function readSettled(path: string, patience: Patience, signal: AbortSignal): Promise<Reading> {
  const startedMs = performance.now()
  let identity = await identityOf(path)
  let sinceMs = startedMs
  while (performance.now() - startedMs < patience.limitMs) {
    await sleep(patience.quietMs, undefined, { signal })
    const reading = await stillReading(path, identity)
    if (typeof reading === 'string') {
      identity = reading
      sinceMs = performance.now()
    } else if (!isSuspicious(reading) || performance.now() - sinceMs >= patience.suspiciousMs) {
      return reading
    }
  }
  return { ok: false, flaw: 'unsettled', message: 'is being written to continuously', identity }
}

/** The reading if the file did not change meanwhile, otherwise its current identity. */
async function stillReading(path: string, identity: string): Promise<Reading | string> {
  const before = await identityOf(path)
  if (before !== identity) return before
  const reading = await readNow(path)
  const after = await identityOf(path)
  return after === identity && reading.identity === identity ? reading : after
}

function isSuspicious(reading: Reading): boolean {
  return !reading.ok || !reading.text.endsWith('\n')
}
