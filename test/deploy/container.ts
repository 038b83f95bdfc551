/**
 * Runs what an image says as an engine would: an unprivileged user, its tree read-only, its own Node, nothing inherited.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { Program } from '../support/process.ts'
import type { Image } from './image.ts'

/** `nobody`, everywhere. Whoever runs the tests without being root is unprivileged already. */
const UNPRIVILEGED = 65534
const isRoot = process.getuid?.() === 0

/** Takes the right to write from everybody, as `--read-only` does. */
export function makeReadOnly(image: Image): void {
  const done = spawnSync('chmod', ['-R', 'a-w,a+rX', image.root], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(done.stderr)
}

/** Gives a folder that is mounted into the image to its user. */
export function giveToUser(path: string): void {
  if (isRoot) chownSync(path, UNPRIVILEGED, UNPRIVILEGED)
}

/** Takes a mount back: whoever runs in the image may only read it. */
export function giveToRoot(path: string): void {
  const done = spawnSync('chmod', ['-R', 'a-w,a+rX', path], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(done.stderr)
  if (isRoot) spawnSync('chown', ['-R', '0:0', path])
}

/** The entry point behind its init, which is the distribution's and not here. */
const program = ({ entrypoint }: Image): readonly string[] => entrypoint.slice(entrypoint.indexOf('--') + 1)

/** Starts what the image's init would start: its program with its command, which `edit` may change: ports, the place of mounts. */
export function runImage(image: Image, edit: (words: readonly string[]) => readonly string[], env = {}): Program {
  return new Program(start(image, [...program(image), ...edit(image.cmd)], env))
}

/** What a program that ends by itself has left. */
export interface Ended {
  readonly status: number | null
  /** Everything of stderr. */
  readonly said: string
  /** And of stdout. */
  readonly out: string
}

/** Runs the image's program with its command, or with other words instead, until it ends by itself. */
export function runToEnd(image: Image, words: readonly string[] = image.cmd): Promise<Ended> {
  return ended(start(image, [...program(image), ...words], {}))
}

/** Runs the image's HEALTHCHECK. */
export function checkHealth(image: Image, edit: (words: readonly string[]) => readonly string[]): Promise<Ended> {
  return ended(start(image, edit(image.healthcheck), {}))
}

async function ended(child: ChildProcess): Promise<Ended> {
  let said = ''
  let out = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, said, out }
}

function start(image: Image, words: readonly string[], more: Readonly<Record<string, string>>) {
  const inside = words.map((word) =>
    existsSync(join(image.root, word)) && word.startsWith('/') ? join(image.root, word) : word,
  )
  const bin = join(image.root, 'usr/local/bin')
  const command = [join(bin, inside[0] as string), ...inside.slice(1)]
  const asUser = [
    'setpriv',
    `--reuid=${UNPRIVILEGED}`,
    `--regid=${UNPRIVILEGED}`,
    '--clear-groups',
    '--no-new-privs',
    '--',
  ]
  const [file, ...args] = isRoot ? [...asUser, ...command] : command
  return spawn(file as string, args, {
    cwd: join(image.root, image.workFolder),
    env: { PATH: `${bin}:/usr/bin:/bin`, ...Object.fromEntries(image.env), ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
