/**
 * The npm package as its users get it: packed from a copy of the project, and installed by npm in an empty folder.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { environmentForNpm, PROJECT } from './project.ts'

/** What a build reads, and what the package takes as it is. */
const NEEDED = [
  ...['bin', 'src', 'gtin-service', 'legacy-mock', 'docs', 'tsconfig.json', 'tsconfig.build.json'],
  ...['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'Dockerfile', 'routes.yaml', 'deploy'],
]

/** An entry of package-lock.json. */
interface Locked {
  readonly dev?: boolean
  readonly [key: string]: unknown
}

/** A packed package. */
export interface Packed {
  readonly tarball: string
  readonly integrity: string
  /** Paths in it. */
  readonly files: readonly string[]
}

/** What a program said, and how it ended. */
export interface Done {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** Runs a program of npm's kind in a folder to its end, under the Node that runs the tests. */
export function runIn(folder: string, program: string, args: readonly string[]): Done {
  const done = spawnSync(program, [...args], { cwd: folder, env: environment(), encoding: 'utf8' })
  if (done.error !== undefined) throw done.error
  return { status: done.status, out: done.stdout, err: done.stderr }
}

/** The environment of somebody who has this Node, and no project. */
export function environment(): NodeJS.ProcessEnv {
  const env = environmentForNpm()
  const path = (env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'))
  return { ...env, PATH: [dirname(process.execPath), ...path].join(':') }
}

/** `npm pack` in a copy of the project below `folder`, so that nothing is built in the project itself. */
export function pack(folder: string): Packed {
  const copy = join(folder, 'project')
  for (const name of NEEDED) cpSync(join(PROJECT, name), join(copy, name), { recursive: true })
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'))
  const { status, out, err } = runIn(copy, 'npm', ['pack', '--json', '--pack-destination', folder])
  if (status !== 0) throw new Error(`npm pack: ${err}`)
  // What the build prints comes first.
  const [said] = JSON.parse(out.slice(out.indexOf('[\n'))) as [
    { filename: string; integrity: string; files: { path: string }[] },
  ]
  const { filename, integrity, files } = said
  return { tarball: join(folder, filename), integrity, files: files.map(({ path }) => path) }
}

/**
 * `npm ci` of the tarball in an empty folder, with the versions that this project has, which npm's cache holds since they were
 * installed here: no registry needs to be asked.
 */
export function install({ tarball, integrity }: Packed, folder: string): void {
  const lock = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const production = Object.entries(lock.packages).filter(([path, one]) => path !== '' && one.dev !== true)
  const { version, dependencies, bin, engines } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
  const root = { name: 'shop', version: '1.0.0', dependencies: { banyan: `file:${tarball}` } }
  const banyan = { version, resolved: `file:${tarball}`, integrity, dependencies, bin, engines }
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...root, private: true, type: 'module' }))
  const packages = { '': root, 'node_modules/banyan': banyan, ...Object.fromEntries(production) }
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ ...root, lockfileVersion: 3, packages }))
  const { status, err } = runIn(folder, 'npm', ['ci', '--no-audit', '--no-fund'])
  if (status !== 0) throw new Error(`npm ci: ${err}`)
}
