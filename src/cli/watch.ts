/**
 * `--watch`: runs a command that lists something again and again, and prints what it prints when that has changed.
 */
import { escapedJson } from '../rules/values/unprintable.ts'
import { cut } from './columns.ts'
import type { Command, Given } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, paint } from './io.ts'

const EVERY_MS = 2_000

/**
 * Runs until the person ends it. A terminal shows the newest output in place; otherwise each output that differs is printed below
 * the one before, and with `--json` as one line. While the proxy can't be reached, it is tried again.
 * @throws {CommandError} if the first run fails, or a later one for another reason than that
 */
export async function watched(command: Command, given: Given, io: Io): Promise<ExitCode> {
  const ended = io.untilEnded()
  const isJson = given.has('json')
  const isScreen = io.terminal() !== null && !isJson
  let shown: string | null = null
  for (;;) {
    const [text, problem] = await once(command, given, io, shown === null)
    if (ended.aborted) return EXIT.done
    if (isScreen) io.out(screen(`every 2 s, Ctrl-C ends   ${clock(io)}`, problem ?? text, io))
    else if (problem !== null) io.err(`banyan: ${problem}\n`)
    else if (text !== shown) io.out(isJson ? oneLine(text) : `${shown === null ? '' : '\n'}${text}`)
    if (problem === null) shown = text
    await pause(EVERY_MS, ended, io)
    if (ended.aborted) return EXIT.done
  }
}

/** @returns the output, and why there is none */
async function once(command: Command, given: Given, io: Io, isFirst: boolean): Promise<[string, string | null]> {
  let text = ''
  const inner: Io = {
    ...io,
    out: (more) => {
      text += more
    },
    err: isFirst ? io.err : () => {},
  }
  try {
    await command.run(given, inner)
    return [text, null]
  } catch (error) {
    if (isFirst || !(error instanceof CommandError) || error.code !== EXIT.unreachable) throw error
    return ['', error.message]
  }
}

/** Waits, or until the person ends it. */
export async function pause(ms: number, ended: AbortSignal, io: Io): Promise<void> {
  if (ended.aborted) return
  await Promise.race([
    io.sleep(ms),
    new Promise<void>((done) => ended.addEventListener('abort', () => done(), { once: true })),
  ])
}

/** Hours, minutes and seconds, local. */
export function clock(io: Io): string {
  return new Date(io.now()).toTimeString().slice(0, 8)
}

/** What draws a text on the whole terminal, without a flicker: each line over the old one, then nothing below. */
export function screen(title: string, text: string, io: Io): string {
  const { columns, rows } = io.terminal() ?? { columns: 80, rows: 24 }
  const lines = text.replace(/\n$/, '').split('\n')
  const room = Math.max(1, rows - 2)
  const shown =
    lines.length <= room ? lines : [...lines.slice(0, room - 1), `... and ${lines.length - room + 1} more lines`]
  const all = [paint(io.colours.out, 'bold', cut(title, columns)), ...shown]
  return `\x1b[H${all.map((line) => `${line}\x1b[K`).join('\r\n')}\r\n\x1b[J`
}

function oneLine(json: string): string {
  return `${escapedJson(JSON.stringify(JSON.parse(json)))}\n`
}
