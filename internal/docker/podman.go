package docker

import (
	"slices"
	"strings"
)

// podmanInfo is what podman info answers, of which nothing is where docker has it.
type podmanInfo struct {
	Host struct {
		OS, Arch, Kernel, Hostname string
		CgroupControllers          []string
		MemTotal                   int64
		ServiceIsRemote            bool
		OCIRuntime                 struct{ Name string }
		Distribution               struct{ Distribution, Version string }
		Security                   struct{ AppArmorEnabled, Rootless, SeccompEnabled, SELinuxEnabled bool }
	}
	Version struct{ Version string }
}

// info returns the answer as docker would have given it.
func (p podmanInfo) info() Info {
	h := p.Host
	i := Info{
		Engine: Podman, ServerVersion: p.Version.Version, OSType: h.OS, Architecture: h.Arch,
		OperatingSystem: strings.TrimSpace(h.Distribution.Distribution + " " + h.Distribution.Version),
		MemTotal:        h.MemTotal, DefaultRuntime: h.OCIRuntime.Name, Name: h.Hostname, KernelVersion: h.Kernel, Remote: h.ServiceIsRemote,
		// Those that it may use: without root and with cgroups of version 1 there are none.
		MemoryLimit: slices.Contains(h.CgroupControllers, "memory"),
		PidsLimit:   slices.Contains(h.CgroupControllers, "pids"),
	}
	for _, o := range []struct {
		name string
		on   bool
	}{
		{"apparmor", h.Security.AppArmorEnabled},
		{"rootless", h.Security.Rootless},
		{"seccomp", h.Security.SeccompEnabled},
		{"selinux", h.Security.SELinuxEnabled},
	} {
		if o.on {
			i.SecurityOptions = append(i.SecurityOptions, "name="+o.name)
		}
	}
	return i
}
