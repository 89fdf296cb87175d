! A driven oscillator whose friction force is a network, beside one with the true force.
program main
   use friction
   implicit none
   integer, parameter :: steps = 4000
   real(friction_kind), parameter :: dt = 0.05, stiffness = 1, sigma = 4
   real(friction_kind), parameter :: amplitude = 1.7, frequency = 0.9
   type(friction_state) :: memory
   real(friction_kind) :: x, v, force(friction_outputs), input(friction_inputs)
   real(friction_kind) :: true_x, true_v, true_force, drive, error, size
   integer :: n

   if (friction_reset(memory) /= friction_ok) error stop "reset"
   x = 0; v = 0; force = 0; true_x = 0; true_v = 0; true_force = 0; error = 0; size = 0
   do n = 0, steps - 1
      drive = amplitude * cos(frequency * dt * n)

      v = v + dt * (drive - stiffness * x - force(1))
      x = x + dt * v
      input = v
      if (friction_step(memory, input, force) /= friction_ok) error stop "step"

      true_v = true_v + dt * (drive - stiffness * true_x - true_force)
      true_x = true_x + dt * true_v
      true_force = true_force + dt * sigma * (true_v - abs(true_v) * true_force)

      error = error + (x - true_x)**2
      size = size + true_x**2
   end do
   print '(a, f7.4)', "relative error of the displacement: ", sqrt(error / size)
end program
