/**
 * Builds a target of the Dockerfile without a container engine: each step, or its equivalent, in a folder.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, join, matchesGlob, relative } from 'node:path'
import type { Dockerfile, Stage, Step } from './dockerfile.ts'
import { environmentForNpm } from './project.ts'

/** What an image is: a tree and what is to be run in it. */
export interface Image {
  /** The folder that stands for the image's `/`. */
  readonly root: string
  readonly user: string
  readonly env: ReadonlyMap<string, string>
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly healthcheck: readonly string[]
  readonly ports: readonly number[]
  readonly labels: ReadonlyMap<string, string>
  readonly workFolder: string
}

/**
 * Whether a path is sent to the builder: the last pattern of .dockerignore that matches it, or a folder that it lies in, decides
 * (https://docs.docker.com/build/concepts/context/#syntax).
 */
function sentBy(dockerignore: string): (path: string) => boolean {
  const lines = dockerignore.split('\n').map((line) => line.trim())
  const patterns = lines.filter((line) => line !== '' && !line.startsWith('#'))
  return (path) => {
    const steps = path.split('/')
    const places = steps.map((_, at) => steps.slice(0, at + 1).join('/'))
    const last = patterns.findLast((line) => places.some((place) => matchesGlob(place, line.replace(/^!/, ''))))
    return last === undefined || last.startsWith('!')
  }
}

type Growing = { -readonly [K in keyof Image]: Image[K] } & {
  env: Map<string, string>
  labels: Map<string, string>
}

/**
 * Builds the images of a Dockerfile into folders below `into`, each stage once.
 * @throws {Error} a step that has no equivalent here, a COPY of something that is not in the build context
 */
export class Builder {
  readonly #project: string
  readonly #into: string
  readonly #dockerfile: Dockerfile
  readonly #built = new Map<string, Image>()
  readonly #isSent: (path: string) => boolean

  constructor(project: string, dockerfile: Dockerfile, into: string) {
    this.#project = project
    this.#dockerfile = dockerfile
    this.#into = into
    this.#isSent = sentBy(readFileSync(join(project, '.dockerignore'), 'utf8'))
  }

  build(name: string): Image {
    const before = this.#built.get(name)
    if (before !== undefined) return before
    const stage = this.#dockerfile.stages.find((one) => one.name === name)
    if (stage === undefined) throw new Error(`no stage ${name}`)
    const image = this.#begin(stage)
    for (const step of stage.steps) this.#run(step, image)
    this.#built.set(name, image)
    return image
  }

  #begin(stage: Stage): Growing {
    const root = join(this.#into, stage.name)
    const isStage = this.#dockerfile.stages.some((one) => one.name === stage.base)
    if (isStage) {
      const base = this.build(stage.base)
      cpSync(base.root, root, { recursive: true })
      return { ...base, root, env: new Map(base.env), labels: new Map(base.labels) }
    }
    // The base image: of it, only its Node matters.
    mkdirSync(join(root, 'usr/local/bin'), { recursive: true })
    copyFileSync(process.execPath, join(root, 'usr/local/bin/node'))
    chmodSync(join(root, 'usr/local/bin/node'), 0o755)
    const nothing = { user: 'root', entrypoint: [], cmd: [], healthcheck: [], ports: [], workFolder: '/' }
    return { ...nothing, root, env: new Map(), labels: new Map() }
  }

  #run(step: Step, image: Growing): void {
    const { keyword, words, text } = step
    if (keyword === 'COPY') this.#copy(step, image)
    else if (keyword === 'RUN') this.#command(text, image)
    else if (keyword === 'WORKDIR') {
      image.workFolder = words[0] as string
      mkdirSync(join(image.root, image.workFolder), { recursive: true })
    } else if (keyword === 'USER') image.user = words[0] as string
    else if (keyword === 'ENTRYPOINT') image.entrypoint = words
    else if (keyword === 'CMD') image.cmd = words
    else if (keyword === 'HEALTHCHECK') image.healthcheck = words
    else if (keyword === 'EXPOSE') image.ports = [...image.ports, ...words.map(Number)]
    else if (keyword === 'ENV') for (const [name, value] of step.pairs) image.env.set(name, value)
    else if (keyword === 'LABEL') for (const [name, value] of step.pairs) image.labels.set(name, value)
    else if (!['ARG', 'VOLUME', 'STOPSIGNAL'].includes(keyword)) throw new Error(`no equivalent for ${keyword}`)
  }

  #copy({ words, from }: Step, image: Growing): void {
    const target = words.at(-1) as string
    const sources = words.slice(0, -1)
    const to = join(image.root, target.startsWith('/') ? '' : image.workFolder, target)
    for (const source of sources) {
      const at = join(from === null ? this.#project : this.build(from).root, source)
      if (!existsSync(at)) throw new Error(`COPY ${source}: not there`)
      const isFolder = statSync(at).isDirectory()
      // Of a folder COPY takes what is in it, of a file the file, into a target that ends in a slash.
      const into = isFolder || !(target.endsWith('/') || target === '.') ? to : join(to, basename(source))
      if (from !== null) cpSync(at, into, { recursive: true })
      else this.#copyFromContext(at, into)
    }
  }

  #copyFromContext(at: string, into: string): void {
    const files = statSync(at).isDirectory()
      ? readdirSync(at, { recursive: true, withFileTypes: true })
          .filter((one) => one.isFile())
          .map((one) => join(one.parentPath, one.name))
      : [at]
    const sent = files.filter((file) => this.#isSent(relative(this.#project, file)))
    if (sent.length === 0) throw new Error(`COPY ${relative(this.#project, at)}: .dockerignore leaves nothing of it`)
    for (const file of sent) cpSync(file, join(into, relative(at, file)))
  }

  #command(text: string, image: Growing): void {
    const words = text.split(/\s+/)
    const cwd = join(image.root, image.workFolder)
    // What only concerns the distribution's own files has no equivalent that would leave this machine as it is.
    if (words[0] === 'apt-get') return
    // The project has installed the same lock file, for development, already.
    if (words[0] === 'npm' && words.includes('--include=dev')) {
      symlinkSync(join(this.#project, 'node_modules'), join(cwd, 'node_modules'))
    } else if (words[0] === 'npm') runTool('npm', [...words.slice(1), '--prefix', cwd], cwd)
    else if (words[0] === 'npx') runTool('npx', ['--no-install', ...words.slice(1)], cwd)
    else if (words[0] === 'install') mkdirSync(join(image.root, words.at(-1) as string), { recursive: true })
    else throw new Error(`no equivalent for RUN ${text}`)
  }
}

function runTool(program: string, args: readonly string[], cwd: string): void {
  const done = spawnSync(program, [...args], { cwd, env: environmentForNpm(), encoding: 'utf8' })
  if (done.status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${done.error?.message ?? done.stdout + done.stderr}`)
}
