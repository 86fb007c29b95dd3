#!/bin/busybox sh
# The first and only program of a lab's QEMU guest.  Its words come from the kernel command line:
#   lab.name=alpha lab.eth0=10.0.0.11/24,fd00::11/64 lab.gateway=10.0.0.1
#   lab.serve=tcp:80 lab.talk=tcp:10.0.0.12:80
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*.ko; do [ -e "$module" ] && insmod "$module"; done

word() { for w in $(cat /proc/cmdline); do case $w in "lab.$1="*) echo "${w#*=}" | tr , ' ' ;; esac; done; }

name=$(word name)
hostname "$name"
echo "127.0.0.1 localhost $name" >/etc/hosts
echo "root::0:0:root:/:/bin/sh" >/etc/passwd
grep -q 'lab\.eth[^ ]*:' /proc/cmdline || echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
ip link set lo up
for nic in /sys/class/net/eth*; do
  nic=${nic##*/}
  ip link set "$nic" up
  for address in $(word "$nic"); do ip addr add "$address" dev "$nic"; done
done
gateway=$(word gateway)
[ -n "$gateway" ] && ip route add default via "$gateway"

echo "hello from $name" >/www/index.html
dd if=/dev/urandom of=/www/4k bs=4k count=1 2>/dev/null
for service in $(word serve); do httpd -h /www -p "${service#tcp:}"; done
for target in $(word talk); do
  (while sleep 0.5; do wget -q -O /dev/null "http://${target#tcp:}/4k"; done) >/dev/null 2>&1 &
done

port() { for p in /sys/class/virtio-ports/*; do [ "$(cat "$p/name")" = "$1" ] && echo "/dev/${p##*/}"; done; }

agent=$(port org.qemu.guest_agent.0)
[ -n "$agent" ] && [ -x /usr/sbin/qemu-ga ] && qemu-ga -d -m virtio-serial -p "$agent" -f /run/qga.pid -t /run

# Commands of `lab exec`: each line is a mark and a command in base64.  Between "MARK:begin" and
# NUL "MARK:STATUS" comes what the command says.  When the host hangs up, the command is ended.
exec 3<>"$(port org.tapwright.lab.0)"
echo "TAPWRIGHT-LAB-READY"
running=""
while :; do
  if read -r mark code <&3; then
    [ -n "$running" ] && kill -9 "-$running" 2>/dev/null
    command=$(echo "$code" | base64 -d)
    printf '%s:begin\n' "$mark" >&3
    setsid sh -c '(eval "$1") </dev/null >&3 2>&1; printf "\000%s:%d\n" "$2" $? >&3' sh "$command" "$mark" &
    running=$!
  else
    [ -n "$running" ] && kill -9 "-$running" 2>/dev/null
    running=""
    sleep 0.1
  fi
done
