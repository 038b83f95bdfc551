/**
 * Completion in the shells themselves, against a running admin API. zsh and fish are tried where they are installed.
 */
import { execFile, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AdminRig, adminRig } from '../control/rig.ts'
import { banyan } from './rig.ts'

const MAIN = join(import.meta.dirname, '../../bin/banyan.js')

let at: AdminRig
let folder: string
let env: Record<string, string>

beforeAll(async () => {
  at = await adminRig({})
  folder = mkdtempSync(join(tmpdir(), 'banyan-completion-'))
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'tables'))
  writeFileSync(join(folder, 'bin/banyan'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`)
  chmodSync(join(folder, 'bin/banyan'), 0o755)
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(join(folder, `banyan.${shell}`), (await banyan(['completion', shell])).out)
  }
  const { PATH = '', HOME = folder } = process.env
  env = { PATH: `${folder}/bin:${PATH}`, HOME, TERM: 'dumb', LC_ALL: 'C.UTF-8', BANYAN_ADMIN: `127.0.0.1:${at.port}` }
})
afterAll(async () => {
  await at.close()
  rmSync(folder, { recursive: true })
})

const INTERACTIVE: Readonly<Record<string, readonly [program: string, setUp: string]>> = {
  bash: ['bash --norc --noprofile -i', 'PS1=; source banyan.bash'],
  zsh: ['zsh -f -i', 'PS1=; autoload -U compinit; compinit -u -D; bindkey -e; unsetopt prompt_sp; source banyan.zsh'],
}

/** What a line has become after a tab, on a terminal; without the last blank or slash, which zsh takes back when the cursor moves. */
async function completed(shell: string, line: string): Promise<string> {
  const [program, setUp] = INTERACTIVE[shell] as readonly [string, string]
  const terminal = spawn('script', ['-qfec', program, '/dev/null'], {
    cwd: folder,
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let out = ''
  const found = new Promise<string>((resolve, reject) => {
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (/^ready\r$/m.test(out) && !terminal.stdin.writableEnded) {
        // The line, a tab; then, from its start to its end, what prints it.
        terminal.stdin.end(`${line}\t\x01echo '[\x05]'\nexit\n`)
      }
    })
    terminal.once('close', () => {
      const printed = /^\[(.*)\]\r$/m.exec(out)?.[1]
      if (printed === undefined) reject(new Error(`${shell} printed no line: ${JSON.stringify(out)}`))
      else resolve(printed.replace(/[ /]$/, ''))
    })
  })
  terminal.stdin.write(`${setUp}; echo rea''dy\n`)
  return found
}

/** What fish would offer. */
async function offered(line: string): Promise<string[]> {
  const command = ['-N', '-c', 'source banyan.fish; complete -C $argv[1]', line]
  const { stdout } = await promisify(execFile)('fish', command, { cwd: folder, env })
  return stdout.split('\n').filter((one) => one !== '')
}

const isThere = (shell: string): boolean =>
  (process.env.PATH ?? '').split(':').some((at) => existsSync(join(at, shell)))

describe.each(Object.keys(INTERACTIVE).filter(isThere))('%s', (shell) => {
  test.each([
    ['banyan rest', 'banyan restore'],
    ['banyan set gt', 'banyan set gtin-lookup'],
    ['banyan set --dr', 'banyan set --dry-run'],
    ['banyan purge --upstream le', 'banyan purge --upstream legacy'],
    ['banyan servers dr', 'banyan servers drain'],
    ['banyan servers drain legacy ', 'banyan servers drain legacy 127.0.0.1:4001'],
    ['banyan servers drain legacy 127.0.0.1:40', 'banyan servers drain legacy 127.0.0.1:4001'],
    ['banyan deploy canary sea', 'banyan deploy canary search'],
    ['banyan check tab', 'banyan check tables'],
    ['banyan serve --table tab', 'banyan serve --table tables'],
  ])('%s', async (line, whole) => {
    expect(await completed(shell, line)).toBe(whole)
  })

  test('the value of a flag after =', async () => {
    expect(await completed(shell, 'banyan purge --upstream=le')).toBe('banyan purge --upstream=legacy')
    expect(await completed(shell, 'banyan explain --table=tab')).toBe('banyan explain --table=tables')
  })

  test('nothing of what was typed is run', async () => {
    await completed(shell, `banyan set "$(touch ${shell}-ran)" `)
    expect(existsSync(join(folder, `${shell}-ran`))).toBe(false)
  })

  test('without a proxy there is nothing to offer, and no error', async () => {
    expect(await completed(shell, 'banyan routes --admin 127.0.0.1:1 gt')).toBe('banyan routes --admin 127.0.0.1:1 gt')
  })
})

describe.each(['fish'].filter(isThere))('%s', () => {
  test.each([
    ['banyan set gt', ['gtin-lookup\t5 % to gtin']],
    ['banyan set --dr', ['--dry-run\tshow what would change, without changing it']],
    ['banyan purge --upstream=le', ['--upstream=legacy\t1 server']],
    ['banyan servers drain legacy 127.0.0.1:40', ['127.0.0.1:4001\thttp://127.0.0.1:4001']],
    ['banyan check tab', ['tables/']],
    ['banyan explain --table=tab', ['--table=tables/']],
  ])('%s', async (line, words) => {
    expect(await offered(line)).toEqual(words)
  })
})

describe('candidates', () => {
  const candidates = async (...words: string[]): Promise<string[]> => {
    const { out } = await banyan(['completion', 'bash', '--', ...words], {
      env: { BANYAN_ADMIN: env.BANYAN_ADMIN as string },
    })
    return out.split('\n').filter((line) => line !== '')
  }
  const names = async (...words: string[]): Promise<(string | undefined)[]> =>
    (await candidates(...words)).map((line) => line.split('\t')[0])

  test.each([
    [
      ['servers', ''],
      ['gtin', 'legacy', 'add', 'remove', 'drain', 'undrain', 'weight'],
    ],
    [
      ['deploy', ''],
      ['rolling', 'blue-green', 'canary', 'preview'],
    ],
    [
      ['deploy', 'rolling', 'gtin', '--only', ''],
      ['127.0.0.1:4002', '127.0.0.1:4003'],
    ],
    [
      ['deploy', 'blue-green', 'legacy', ''],
      ['gtin', 'legacy'],
    ],
    [['restore', ''], ['1']],
    [
      ['explain', 'P'],
      ['POST', 'PUT', 'PATCH'],
    ],
    [['explain', '-H', ''], []],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['set', 'gtin-lookup', ''], []],
    [['set', '--dry-run', '--dry'], []],
    [['--'], ['--help', '--version']],
    [['serve', '--table', ''], [':files']],
    [['serve', ''], []],
    [['serve', 'fl'], []],
    [['nosuch', ''], []],
  ])('%j: %j', async (words, offered) => {
    expect((await names(...words)).toSorted()).toEqual(offered.toSorted())
  })

  test('no command offers words of its usage that it does not take', async () => {
    for (const command of (await names('')) as string[]) {
      for (const word of await names(command, '')) expect(word, command).not.toMatch(/^flags$|\.{3}|[[\]|]/)
    }
  })

  test('of every command the flags are those of its help', async () => {
    const commands = (await names('')) as string[]
    expect(commands).toContain('serve')
    for (const command of commands.filter((name) => name !== 'serve')) {
      const help = (await banyan([command, '--help'])).out
      const flags = [...help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag)
      expect(await names(command, '-')).toEqual([...flags, '--help'])
    }
  })
})
